"""Templates in S3: read by their URLs, and written under a key that is their content's hash."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote, urlsplit

from awsorch.cfn.fragments import TransformError
from awsorch.cfn.transform import LARGEST_BYTES
from awsorch.local.stacks.s3_urls import bucket_and_key

GONE = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NotFound"})
FORBIDDEN = frozenset({"403", "AccessDenied", "Forbidden"})
"""S3 also says so of what is not there to who may not list."""


class TemplateStore:
    """`s3` is boto3's client. What is written goes into `bucket` under `prefix`, or beside the template that it was
    made of where there is no bucket."""

    def __init__(self, s3: Any, bucket: str | None = None, prefix: str = "") -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix.strip("/")

    def read(self, url: str) -> str:
        """A template's text. Raises TransformError where the URL names no readable template."""
        from botocore.exceptions import ClientError

        place = bucket_and_key(url)
        if place is None:
            raise TransformError(f"{url} is not the URL of an S3 object, such as https://s3.amazonaws.com/bucket/key.")
        query = urlsplit(url).query
        version = query.removeprefix("versionId=") if query.startswith("versionId=") else ""
        more = {"VersionId": version} if version else {}
        try:
            answer = self._s3.get_object(Bucket=place[0], Key=place[1], **more)
            size = answer["ContentLength"]
            content: bytes = answer["Body"].read(LARGEST_BYTES + 1)
        except ClientError as error:
            said = error.response["Error"]
            raise TransformError(f"{url} can't be read: {said['Code']}: {said.get('Message', '')}") from None
        if len(content) > LARGEST_BYTES:
            raise TransformError(f"{url} has {size} bytes; a template may have {LARGEST_BYTES} at most.")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise TransformError(f"{url} is not UTF-8: {error}") from None

    def write(self, text: str, beside: str = "") -> str:
        """The URL of a template, which is uploaded unless it is there; `beside` is the URL of what it was made of.
        Raises TransformError.
        """
        from botocore.exceptions import ClientError

        name = f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.template"
        bucket, folder = self._bucket, self._prefix
        if bucket is None:
            place = bucket_and_key(beside)
            if place is None:
                raise TransformError("The template must go to S3 to be deployed; say which bucket: --s3-bucket.")
            bucket, folder = place[0], place[1].rpartition("/")[0]
        key = f"{folder}/{name}" if folder else name
        try:
            if not is_there(self._s3, bucket, key):
                self._s3.put_object(Bucket=bucket, Key=key, Body=text.encode())
        except ClientError as error:
            said = error.response["Error"]
            why = f"{said['Code']}: {said.get('Message', '')}"
            raise TransformError(f"s3://{bucket}/{key} can't be written: {why}") from None
        return self._url(bucket, key, "" if self._bucket else beside)

    def _url(self, bucket: str, key: str, beside: str) -> str:
        """With the host of the URL that it stands beside, which says the bucket's region."""
        parts = urlsplit(beside)
        if parts.scheme not in ("http", "https"):
            return f"{self._s3.meta.endpoint_url.rstrip('/')}/{bucket}/{quote(key)}"
        in_path = parts.path.startswith(f"/{bucket}/") and not (parts.hostname or "").startswith(f"{bucket}.")
        path = f"/{bucket}/{quote(key)}" if in_path else f"/{quote(key)}"
        return parts._replace(path=path, query="", fragment="").geturl()


def is_there(s3: Any, bucket: str, key: str) -> bool:
    """Whether an object is known to be there. Raises ClientError for what S3 can't say now."""
    from botocore.exceptions import ClientError

    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE | FORBIDDEN:
            return False
        raise
    return True
