"""S3 objects as TemplateURL names them.

Source: Amazon S3 user guide, "Virtual hosting of general purpose buckets"; `s3://bucket/key` is the AWS CLI's form.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_VIRTUAL_HOST = re.compile(r"(.+)\.s3[.-].*amazonaws\.com(\.cn)?")


def bucket_and_key(url: str) -> tuple[str, str] | None:
    """The bucket and the key that a URL names, in any of its forms; None where it names none."""
    parts = urlsplit(url)
    path = unquote(parts.path.lstrip("/"))
    virtual = _VIRTUAL_HOST.fullmatch(parts.hostname or "")
    if parts.scheme == "s3":
        bucket, key = parts.netloc, path
    elif virtual is not None:
        bucket, key = virtual[1], path
    else:
        bucket, _, key = path.partition("/")
    return (bucket, key) if bucket and key else None
