"""Who proves to be an EC2 instance: STS is asked whose keys signed, EC2 whether that instance is there.

Source: STS API, GetCallerIdentity; IAM user guide, "Session name of roles for EC2 instances" (it is the instance's id).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp

from awsorch.adapters.aws import AwsCalls, AwsError
from awsorch.core.errors import Refusal
from awsorch.engine.ports import Unanswered

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_MOST_BYTES = 64 * 1024
_ARN = re.compile(r"<Arn>\s*([^<\s]+)\s*</Arn>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_ALIVE = frozenset({"pending", "running"})


class CallerIdentities:
    """``sts``: the URL that instances sign for; ``endpoint``: what listens in STS's place, None for STS itself."""

    def __init__(self, aws: AwsCalls, *, sts: str, endpoint: str | None) -> None:
        self._aws = aws
        self._host = urlsplit(sts).netloc
        self._url = f"{endpoint.rstrip('/')}/" if endpoint else sts
        self._http: aiohttp.ClientSession | None = None

    async def identify(self, headers: Mapping[str, str], body: bytes) -> str:
        """The ARN of who signed a call of STS, which is made here. Refused with AccessDeniedException where STS does
        not believe it. Raises Unanswered."""
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True)
        try:
            signed = {**headers, "Host": self._host}
            async with self._http.post(self._url, data=body, headers=signed, allow_redirects=False) as answer:
                text = (await answer.content.read(_MOST_BYTES)).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unanswered(f"STS: {error or type(error).__name__}") from error
        found = _ARN.search(text)
        if answer.status == 200 and found is not None:
            return found[1]
        if answer.status >= 500 or answer.status == 200:
            raise Unanswered(f"STS answers with status {answer.status}")
        said = _MESSAGE.search(text)
        why = said[1] if said is not None else f"status {answer.status}"
        raise Refusal("AccessDeniedException", f"STS does not accept the instance's signature: {why}")

    async def is_there(self, instance_id: str) -> bool:
        """Whether an EC2 instance of the account runs, or is about to. Raises Unanswered."""
        try:
            answer = await self._aws.call("ec2", "describe_instances", InstanceIds=[instance_id])
        except AwsError as error:
            if error.code.startswith("InvalidInstanceID"):
                return False
            raise Unanswered(f"EC2: {error}") from error
        states = [each["State"]["Name"] for one in answer["Reservations"] for each in one["Instances"]]
        return any(state in _ALIVE for state in states)

    async def close(self) -> None:
        """Let go of every connection."""
        if self._http is not None:
            await self._http.close()
