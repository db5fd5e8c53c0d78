"""Who may come in: the upgrade request of an agent's websocket, verified and matched with a container instance.

A refusal is an HTTP answer whose JSON body names the exception, as agents expect it. Source: agent protocol, ACS
connect, TCS connect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

import msgspec

from awsorch.core.arn import Scope, parse_arn
from awsorch.core.model_access import KeyHolder
from awsorch.core.state import ClusterState
from awsorch.engine.partition import Partition, Unavailable
from awsorch.gateway.control import Instance
from awsorch.wire.errors import WireError
from awsorch.wire.sigv4 import claimed_access_key

#: What an agent says of its versions is kept to this many characters.
VERSION_LIMIT = 255
#: What an agent says in its query that runs commands in containers for us; ECS's own does so with SSM.
RUNS_COMMANDS = "awsorchExec"


class SignatureVerifier(Protocol):
    """``awsorch.wire.sigv4.Verifier``, as this folder uses it."""

    def verify(self, method: str, path: str, query_string: str, headers: Mapping[str, str], body: bytes) -> str:
        """The access key id that signed the request; raises WireError."""
        ...


class Refused(Exception):
    """The agent may not connect. `code` is the exception that it will read from the answer."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status

    @property
    def body(self) -> bytes:
        """The answer's body: `{"InvalidClusterException": "…"}`."""
        return msgspec.json.encode({self.code: self.message})


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """An agent that may come in: for which instance, in which partition, and what it says of itself."""

    instance: Instance
    partition: Partition[ClusterState]
    agent_version: str | None
    agent_hash: str | None
    docker_version: str | None
    wants_credentials: bool
    runs_commands: bool = False


class Admission:
    """Reads upgrade requests. Without a verifier agents are taken at their word. ``holder_of`` names the machine
    that has an access key: with that key its own connections are all that may be made."""

    def __init__(
        self,
        find_partition: Callable[[str], Partition[ClusterState] | None],
        scope: Scope,
        verifier: SignatureVerifier | None,
        holder_of: Callable[[str], KeyHolder | None] = lambda access_key_id: None,
    ) -> None:
        self._find_partition = find_partition
        self._scope = scope
        self._verifier = verifier
        self._holder_of = holder_of

    def admit(self, raw_path: str, headers: Mapping[str, str]) -> Visitor:
        """The agent behind `GET raw_path` (path and query as they were sent). Raises Refused."""
        query = raw_path.partition("?")[2]
        holder = self._verify(raw_path, headers)
        said = dict(parse_qsl(query, errors="replace"))
        # The two websockets name the same things differently.
        arn = said.get("containerInstanceArn") or said.get("containerInstance") or ""
        cluster = said.get("clusterArn") or said.get("cluster") or ""
        instance, partition = self._find_instance(arn, cluster)
        machine = partition.state.instances[instance.id].ec2_instance_id
        if holder is not None and machine != holder.id:
            raise Refused("AccessDeniedException", f"Container instance {arn} is not {holder.id}.", 403)
        return Visitor(
            instance=instance,
            partition=partition,
            agent_version=_short(said.get("agentVersion")),
            agent_hash=_short(said.get("agentHash")),
            docker_version=_short(said.get("dockerVersion")),
            wants_credentials=said.get("sendCredentials") == "true",
            runs_commands=said.get(RUNS_COMMANDS) == "true",
        )

    def _verify(self, raw_path: str, headers: Mapping[str, str]) -> KeyHolder | None:
        """The machine that signed; None for anybody else who may come in."""
        path, _, query = raw_path.partition("?")
        try:
            if self._verifier is None:
                return self._holder_of(claimed_access_key(headers) or "")
            return self._holder_of(self._verifier.verify("GET", path, query, headers, b""))
        except WireError as error:
            raise Refused("AccessDeniedException", f"{error.code}: {error.message}", 403) from None
        except Unavailable as error:
            raise Refused("ServerException", str(error), 503) from None

    def _find_instance(self, text: str, cluster: str) -> tuple[Instance, Partition[ClusterState]]:
        arn = parse_arn(text)
        if arn is None or arn.kind != "container-instance" or len(arn.path) != 2:
            raise Refused("InvalidInstanceException", f"{text!r} is not the ARN of a container instance.")
        name, instance_id = arn.path
        if cluster and cluster.rpartition("/")[2] != name:
            raise Refused("InvalidClusterException", f"Container instance {text} is not in cluster {cluster}.")
        partition = self._find_partition(name)
        if partition is None:
            raise Refused("InvalidClusterException", f"Cluster {name} was not found.")
        try:
            known = partition.state.instances.get(instance_id)
        except Unavailable as error:
            raise Refused("ServerException", str(error), 503) from None
        if known is None or known.arn != text:
            raise Refused("InvalidInstanceException", f"Container instance {text} was not found.")
        if known.status == "INACTIVE":
            raise Refused("InactiveInstanceException", f"Container instance {text} is not registered any more.")
        instance = Instance(cluster=name, id=instance_id, arn=text, cluster_arn=self._scope.cluster(name))
        return instance, partition


def _short(text: str | None) -> str | None:
    return text[:VERSION_LIMIT] if text else None
