"""AWS's services as an agent asks them, in memory, with knobs for what may go wrong."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from awsorch.agent.cloudwatch_logs import LOGS
from awsorch.agent.services import ECR, SECRETS_MANAGER, SSM, Service, ServiceError
from awsorch.wire.sigv4 import Credentials


class FakeServices:
    """Implements Services. ``parameters``: {name: value}; ``secrets``: {ARN or (ARN, stage, version): value};
    ``objects``: {"bucket/key": content}; ``groups``: {log group: {stream: [(ms, message)]}}. ``error`` fails calls,
    ``gate`` holds every call up until it is set; ``asked`` tells who asked for what.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, str] = {}
        self.secrets: dict[str | tuple[str, str, str], str] = {}
        self.objects: dict[str, bytes] = {}
        self.error: ServiceError | None = None
        self.gate: asyncio.Event | None = None
        self.asked: list[tuple[str, str]] = []
        self.groups: dict[str, dict[str, list[tuple[int, str]]]] = {}

    async def call(
        self, service: Service, operation: str, request: Mapping[str, Any], *, region: str, credentials: Credentials
    ) -> dict[str, Any]:
        await self._pass(credentials, operation)
        match service, operation:
            case (service, "GetParameters") if service is SSM:
                return self._parameters(request["Names"])
            case (service, "GetSecretValue") if service is SECRETS_MANAGER:
                return self._secret(request)
            case (service, "GetAuthorizationToken") if service is ECR:
                token = b64encode(f"AWS:{credentials.access_key_id}".encode()).decode()
                return {"authorizationData": [{"authorizationToken": token}]}
            case (service, _) if service is LOGS:
                return self._log(operation, request)
        raise AssertionError((service, operation))

    async def read_object(self, bucket: str, key: str, *, region: str, credentials: Credentials) -> bytes:
        await self._pass(credentials, "GetObject")
        try:
            return self.objects[f"{bucket}/{key}"]
        except KeyError:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404) from None

    async def _pass(self, credentials: Credentials, operation: str) -> None:
        self.asked.append((credentials.access_key_id, operation))
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error

    def _parameters(self, names: list[str]) -> dict[str, Any]:
        there = [{"Name": name, "Value": self.parameters[name]} for name in names if name in self.parameters]
        return {"Parameters": there, "InvalidParameters": [name for name in names if name not in self.parameters]}

    def _secret(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name, stage, version = request["SecretId"], request.get("VersionStage", ""), request.get("VersionId", "")
        value = self.secrets.get((name, stage, version) if stage or version else name)
        if value is None:
            raise ServiceError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", 400)
        return {"ARN": name, "SecretString": value}

    def _log(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        group, stream = request["logGroupName"], request.get("logStreamName", "")
        if operation == "CreateLogGroup":
            if group in self.groups:
                raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists", 400)
            self.groups[group] = {}
            return {}
        if group not in self.groups:
            raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.", 400)
        if operation == "CreateLogStream":
            if stream in self.groups[group]:
                raise ServiceError("ResourceAlreadyExistsException", "The specified log stream already exists", 400)
            self.groups[group][stream] = []
            return {}
        if stream not in self.groups[group]:
            raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.", 400)
        assert operation == "PutLogEvents"
        events = [(each["timestamp"], each["message"]) for each in request["logEvents"]]
        assert events, "CloudWatch takes no empty portion"
        assert [at for at, _ in events] == sorted(at for at, _ in events)
        self.groups[group][stream] += events
        return {"nextSequenceToken": "1"}
