"""Who this instance is, as the EC2 instance metadata service (IMDSv2) tells it."""

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

import aiohttp

LOG = logging.getLogger(__name__)

TIMEOUT = aiohttp.ClientTimeout(total=5)
TOKEN_SECONDS = 21600
DOCUMENT_PATIENCE = 30.0
"""Seconds for which the identity document is asked for again before the agent gives up."""
RETRY_DELAY = 0.5
INTERFACES = "meta-data/network/interfaces/macs"


class NoIdentityError(Exception):
    """This should be an EC2 instance and there is no metadata service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The document is the raw JSON, its signature base64; `zone_id` such as use1-az1; `vpc_id` and `subnet_id` are
    those of the first network interface, `outpost_arn` is there on an Outpost. All empty outside EC2."""

    document: str = ""
    signature: str = ""
    instance_id: str = ""
    region: str = ""
    zone_id: str = ""
    vpc_id: str = ""
    subnet_id: str = ""
    outpost_arn: str = ""
    private_ip: str = ""


class InstanceMetadata:
    """The metadata service at one address."""

    def __init__(self, http: aiohttp.ClientSession, endpoint: str) -> None:
        self._http = http
        self._endpoint = endpoint.rstrip("/")
        self._token: str | None = None

    async def identify(self) -> Identity:
        """The instance's identity. Raises NoIdentityError when nobody answers for half a minute."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DOCUMENT_PATIENCE
        document = await self.get("dynamic/instance-identity/document")
        while document is None:
            if loop.time() >= deadline:
                raise NoIdentityError(
                    f"no instance identity document at {self._endpoint}: outside EC2, set ECS_EXTERNAL=true"
                )
            await asyncio.sleep(RETRY_DELAY)
            document = await self.get("dynamic/instance-identity/document")
        try:
            facts = json.loads(document)
        except ValueError:
            LOG.warning("the instance identity document is not JSON")
            facts = {}
        mac = await self.get("meta-data/mac") or ""
        return Identity(
            document=document,
            signature=await self.get("dynamic/instance-identity/signature") or "",
            instance_id=facts.get("instanceId", ""),
            region=facts.get("region", ""),
            private_ip=facts.get("privateIp", ""),
            zone_id=await self.get("meta-data/placement/availability-zone-id") or "",
            vpc_id=await self.get(f"{INTERFACES}/{mac}/vpc-id") or "",
            subnet_id=await self.get(f"{INTERFACES}/{mac}/subnet-id") or "",
            outpost_arn=await self.get("meta-data/outpost-arn") or "",
        )

    async def role_credentials(self) -> dict[str, Any] | None:
        """The instance role's credentials as IMDS has them; None without a role."""
        role = await self.get("meta-data/iam/security-credentials/")
        if not role:
            return None
        found = await self.get(f"meta-data/iam/security-credentials/{role.splitlines()[0].strip()}")
        try:
            return dict(json.loads(found)) if found else None
        except (ValueError, TypeError):
            return None

    async def get(self, path: str) -> str | None:
        """The text at /latest/<path>; None when it is not there or nobody answers."""
        try:
            if self._token is None:
                self._token = await self._new_token()
            answer = await self._fetch(path)
            if answer is None:
                self._token = await self._new_token()
                answer = await self._fetch(path)
            return answer or None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            LOG.debug("instance metadata: %s: %s", path, error)
            return None

    async def _new_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
        url = f"{self._endpoint}/latest/api/token"
        async with self._http.put(url, headers=headers, timeout=TIMEOUT, raise_for_status=False) as response:
            response.raise_for_status()
            return await response.text()

    async def _fetch(self, path: str) -> str | None:
        """The text; "" when it does not exist, None when the token is no longer good."""
        headers = {"X-aws-ec2-metadata-token": self._token or ""}
        url = f"{self._endpoint}/latest/{path}"
        async with self._http.get(url, headers=headers, timeout=TIMEOUT, raise_for_status=False) as response:
            if response.status == 401:
                return None
            return await response.text() if response.status == 200 else ""
