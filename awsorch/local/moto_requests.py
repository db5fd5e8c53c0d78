"""Which of moto's services a request is for, and whether it may change what that keeps."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SCOPE = re.compile(r"/([a-z0-9-]+)/aws4_request")
_OTHER_NAMES = {
    "elasticloadbalancing": "elbv2",
    "elasticfilesystem": "efs",
    "monitoring": "cloudwatch",
    "application-autoscaling": "applicationautoscaling",
    "states": "stepfunctions",
}
"""Services whose calls are signed under another name than moto's."""
_READING = re.compile(rb"(^|&)Action=(Describe|Get|List|PutMetricData)")
_READING_TARGET = re.compile(r"[.](Describe|Get|List|BatchGet|PutMetricData)")
_LARGEST_FORM = 1024 * 1024


def service_of(environ: WSGIEnvironment) -> str:
    """moto's name of the service that a request is signed for; empty where it is not signed."""
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    return _OTHER_NAMES.get(scope[1], scope[1]) if scope is not None else ""


def may_change(environ: WSGIEnvironment) -> bool:
    """Whether a request may change anything but metrics; its body stays to be read."""
    if environ["REQUEST_METHOD"] == "GET" or _READING_TARGET.search(environ.get("HTTP_X_AMZ_TARGET", "")):
        return False
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 < length <= _LARGEST_FORM:
        return True
    body = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return not _READING.search(body)
