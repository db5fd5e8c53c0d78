"""Calls of CloudFormation with their templates for awsorch: what `awsorch cfn proxy` makes of them, and who signs them.

Source: CloudFormation API reference (the query protocol's forms); AWS General Reference, "Signing AWS API requests".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from awsorch.cfn.transform import INLINE_BYTES, TransformSettings
from awsorch.cli.cfn_nested import Origin, Packager, transformed
from awsorch.cli.cfn_stack import find_stack, values_of
from awsorch.cli.cfn_store import TemplateStore

if TYPE_CHECKING:
    from awsorch.cli.cfn_options import Account, Bucket

Form = Mapping[str, str]
DEPLOYING = frozenset({"CreateChangeSet", "CreateStack", "UpdateStack"})
READING = frozenset({"GetTemplateSummary", "ValidateTemplate"})
"""These look at one template, and not at those that it nests."""
_TEMPLATE = ("TemplateBody", "TemplateURL")
_SERVICE = "cloudformation"
_ANSWER_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What AWS answered."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Rewriting:
    """Rewrites forms. Safe for threads; `tell` gets what the templates' author should know."""

    def __init__(
        self, settings: TransformSettings, account: Account, bucket: Bucket, tell: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._account = account
        self._bucket = bucket
        self._tell = tell
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def rewritten(self, form: Form, region: str) -> Form:
        """The form with its template transformed, by value or in S3 beside what it was; others are answered as they
        are. Raises TransformError, and botocore's errors.
        """
        action, carried = form.get("Action", ""), [name for name in _TEMPLATE if form.get(name)]
        if len(carried) != 1:
            return form
        if action not in DEPLOYING | READING:
            self._tell(f"{action} has a template, which is passed on as it is.")
            return form
        store = TemplateStore(self._client("s3", region), *self._bucket)
        url = form.get("TemplateURL", "")
        origin = Origin(name=url or "TemplateBody", url=url)
        text = store.read(url) if url else form["TemplateBody"]
        if action in READING:
            done = transformed(text, self._settings)
        else:
            packager = Packager(self._settings, store, lambda: self._account.pseudo(region))
            done = packager.package(text, origin, lambda: self._parameters(form, region))
        for warning in done.warnings:
            self._tell(f"Warning: {warning}")
        if not done.changed:
            return form
        rest = {name: value for name, value in form.items() if name not in _TEMPLATE}
        if url or len(done.text.encode()) > INLINE_BYTES:
            return {**rest, "TemplateURL": store.write(done.text, url)}
        return {**rest, "TemplateBody": done.text}

    def send(self, headers: Mapping[str, str], form: Form, region: str) -> Answer:
        """Call CloudFormation with one's own signature. Raises botocore's errors."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import NoCredentialsError
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies

        url = self._client(_SERVICE, region).meta.endpoint_url
        credentials = self._account.boto.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        request = AWSRequest(method="POST", url=url, data=urlencode(form), headers=dict(headers))
        SigV4Auth(credentials.get_frozen_credentials(), _SERVICE, region).add_auth(request)
        verify = self._account.core.get_config_variable("ca_bundle") or True
        session = URLLib3Session(verify=verify, proxies=get_environ_proxies(url), timeout=_ANSWER_SECONDS)
        response = session.send(request.prepare())
        return Answer(status=response.status_code, headers=response.headers, content=response.content)

    def _parameters(self, form: Form, region: str) -> dict[str, str | None]:
        """What the call gives; what it leaves as it is, the stack tells."""
        found: dict[str, str | None] = {}
        for name, key in form.items():
            start, dot, last = name.rpartition(".")
            if start.startswith("Parameters.member.") and dot and last == "ParameterKey":
                is_kept = form.get(f"{start}.UsePreviousValue", "").lower() == "true"
                found[key] = None if is_kept else form.get(f"{start}.ParameterValue", "")
        if None in found.values():
            before = values_of(find_stack(self._client(_SERVICE, region), form.get("StackName", "")))
            found |= {name: before.get(name) for name, value in found.items() if value is None}
        return found

    def _client(self, service: str, region: str) -> Any:
        """One a service and region; CloudFormation's is never the proxy itself."""
        with self._lock:
            if (service, region) not in self._clients:
                make = self._account.upstream if service == _SERVICE else self._account.client
                self._clients[service, region] = make(service, region)
            return self._clients[service, region]
