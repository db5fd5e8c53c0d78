"""Files that CloudFormation reads from S3: uploaded once, under keys that follow from what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from awsorch.cli.cfn_options import Account
from awsorch.cli.cfn_store import FORBIDDEN, GONE, is_there
from awsorch.cli.faults import Fault


class Uploads:
    """Objects in one bucket, whose keys begin with ``prefix``. What is there already is not sent again."""

    def __init__(self, account: Account, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._s3 = account.client("s3")
        self._region = account.boto.region_name

    def make_bucket(self) -> bool:
        """Make the bucket, private and encrypted as S3's are, where there is none. Answers whether it was made. Raises
        Fault where it is somebody else's."""
        from botocore.exceptions import ClientError

        try:
            self._s3.head_bucket(Bucket=self.bucket)
            return False
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in FORBIDDEN:
                raise Fault(f"bucket {self.bucket} is not yours: name another one with --s3-bucket") from error
            if code not in GONE:
                raise
        where = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        self._s3.create_bucket(Bucket=self.bucket, **({} if self._region == "us-east-1" else where))
        self._s3.put_public_access_block(
            Bucket=self.bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        return True

    def put_all(self, contents: Mapping[str, bytes]) -> tuple[str, int]:
        """The folder, with a slash, that has these files and follows from all of them; and how many were sent."""
        digest = hashlib.sha256()
        for name, content in sorted(contents.items()):
            digest.update(f"{name} {len(content)} ".encode() + content)
        folder = f"{self._prefix}{digest.hexdigest()[:16]}/"
        sent = 0
        for name, content in contents.items():
            if not is_there(self._s3, self.bucket, folder + name):
                self._s3.put_object(Bucket=self.bucket, Key=folder + name, Body=content)
                sent += 1
        return folder, sent

    def url(self, key: str) -> str:
        """Where CloudFormation finds a key."""
        return f"{self._s3.meta.endpoint_url.rstrip('/')}/{self.bucket}/{key}"
