"""``/awsorch/instances/session``: an EC2 instance gets an access key for its agent, for what it proves to be.

In an AWS account agents sign with the temporary keys of their instance's role, which nobody but AWS can verify. So the
agent proves once an hour which instance it is on (``wire/caller_proof``), and signs with a key of the controller's. The
key is stored nowhere: it says itself whose it is and until when (``engine/access_keys``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
from aiohttp import web

from awsorch.api.faults import fault_of
from awsorch.api.http import read_body
from awsorch.core.arn import Scope
from awsorch.core.errors import Refusal, invalid_parameter
from awsorch.engine.access_keys import AccessKeys
from awsorch.wire.caller_proof import BODY, InstanceSession, Proof, is_bound, signer_of

#: How long a session's key is good for, and how old a proof may be. Seconds.
LIFETIME_S = 3600.0
OLDEST_PROOF = timedelta(minutes=5)
#: Among the names of roles: all of the account's.
ANY_ROLE = "*"


class Callers(Protocol):
    """``adapters/caller_identity``, as this file uses it."""

    async def identify(self, headers: Mapping[str, str], body: bytes) -> str:
        """The ARN of who signed this call of STS. Raises Refusal, Unanswered."""
        ...

    async def is_there(self, instance_id: str) -> bool:
        """Whether an EC2 instance runs. Raises Unanswered."""
        ...


class Sessions:
    """Answers requests of the path. ``roles``: the names of the roles whose instances may join; ``needed``: whether
    signatures are verified at all."""

    def __init__(
        self,
        *,
        callers: Callers,
        keys: AccessKeys,
        scope: Scope,
        roles: Collection[str],
        needed: bool,
        clock: Callable[[], float],
    ) -> None:
        self._callers = callers
        self._keys = keys
        self._scope = scope
        self._roles = frozenset(roles)
        self._needed = needed
        self._clock = clock

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises but for the connection itself."""
        try:
            session = await self._answer(request)
        except Exception as error:
            fault = fault_of(error)
            return web.json_response(fault.body, status=fault.status)
        return web.Response(body=msgspec.json.encode(session), content_type="application/json")

    async def _answer(self, request: web.BaseRequest) -> InstanceSession:
        if request.method != "POST":
            raise Refusal("UnknownOperationException", f"Nothing takes {request.method} {request.path}.")
        body = await read_body(request)
        if not self._needed:
            return InstanceSession(needed=False)
        try:
            proof = msgspec.json.decode(body, type=Proof)
        except msgspec.MsgspecError as error:
            raise invalid_parameter(str(error)) from None
        if self._keys.get(signer_of(proof)) is not None:
            return InstanceSession(needed=False)  # what the instance signs with is known here
        instance_id = await self._prove(proof, request.host)
        expires_at = int(self._clock() + LIFETIME_S)
        key = self._keys.issue(instance_id, expires_at)
        return InstanceSession(
            needed=True,
            instance_id=instance_id,
            access_key_id=key,
            secret_access_key=self._keys.secret_of(key),
            expiration=float(expires_at),
        )

    async def _prove(self, proof: Proof, endpoint: str) -> str:
        """The id of the instance that a proof is of. Refused with AccessDeniedException."""
        if not self._roles:
            raise _denied(
                "No role's instances may join. Set AWSORCH_INSTANCE_ROLES to a JSON list of the names of the roles "
                "that instances have, or give the agent an access key."
            )
        if not is_bound(proof):
            raise _denied("The proof should be a signature for STS that covers the header X-Awsorch-Endpoint.")
        self._check_time(proof.date)
        instance_id = self._instance_of(await self._callers.identify(proof.headers(endpoint), BODY))
        if not await self._callers.is_there(instance_id):
            raise _denied(f"EC2 has no running instance {instance_id} in account {self._scope.account}.")
        return instance_id

    def _check_time(self, date: str) -> None:
        try:
            signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise invalid_parameter(f"The date of a proof should be like 20260131T235959Z, not {date!r}.") from None
        if abs(datetime.fromtimestamp(self._clock(), UTC) - signed_at) > OLDEST_PROOF:
            raise _denied(
                f"The proof was signed at {date}, more than five minutes from now: check the instance's clock."
            )

    def _instance_of(self, arn: str) -> str:
        """arn:aws:sts::ACCOUNT:assumed-role/ROLE/i-…: EC2 names the sessions of its instances by their ids."""
        parts = arn.split(":", 5)
        kind, role, session = [*parts[-1].split("/"), "", ""][:3]
        if len(parts) != 6 or parts[2] != "sts" or kind != "assumed-role" or not session.startswith("i-"):
            raise _denied(f"{arn} is not the role of an EC2 instance.")
        if parts[4] != self._scope.account:
            raise _denied(f"{arn} is of another account than {self._scope.account}.")
        if role not in self._roles and ANY_ROLE not in self._roles:
            raise _denied(f"Instances of role {role} may not join; AWSORCH_INSTANCE_ROLES has {sorted(self._roles)}.")
        return session


def _denied(message: str) -> Refusal:
    return Refusal("AccessDeniedException", message)
