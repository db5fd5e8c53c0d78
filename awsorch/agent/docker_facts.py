"""What the Docker Engine says, read into the port's facts."""

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any

from docker import APIClient
from docker.errors import NotFound
from docker.utils import version_gte

from awsorch.agent.docker_events import HEALTH
from awsorch.agent.engine import ContainerFacts, ImageFacts
from awsorch.agent.states import Health

BRIDGE = "bridge"
"""What Docker calls its default network."""
NEVER = "0001-"
"""How Docker's times begin that mean that something has not happened."""


def container_facts(found: Mapping[str, Any]) -> ContainerFacts:
    """Of what GET /containers/{id}/json answers."""
    state = found["State"]
    started = _epoch(state.get("StartedAt", ""))
    return ContainerFacts(
        id=found["Id"],
        name=found["Name"].lstrip("/"),
        labels=found["Config"].get("Labels") or {},
        status=state["Status"],
        exit_code=state.get("ExitCode"),
        out_of_memory=bool(state.get("OOMKilled")),
        started_at=started,
        finished_at=_epoch(state.get("FinishedAt", "")),
        health=HEALTH.get((state.get("Health") or {}).get("Status", ""), Health.UNKNOWN),
    )


def listed_image(found: Mapping[str, Any]) -> ImageFacts:
    """Of what GET /images/json lists."""
    names = tuple(name for name in found.get("RepoTags") or () if name != "<none>:<none>")
    return ImageFacts(id=found["Id"], names=names, created_at=float(found["Created"]))


def bridge_address(client: APIClient) -> str:
    """The host's own IPv4 address on the default bridge; empty when there is none."""
    try:
        network = client.inspect_network(BRIDGE)
    except NotFound:
        return ""  # dockerd --bridge=none
    for pool in network["IPAM"]["Config"] or ():
        subnet = ip_network(pool["Subnet"])
        if subnet.version == 4:
            # An engine that came up with a bridge from before may not name the gateway: it is the first address then.
            return str(pool.get("Gateway") or subnet[1]).partition("/")[0]
    return ""


def one_sample(client: APIClient) -> dict[str, bool]:
    """How to ask for statistics at once; an engine older than 20.10 takes a second sample for each answer."""
    return {"one_shot": True} if version_gte(str(client.api_version), "1.41") else {}


def _epoch(text: str) -> float | None:
    """Seconds of Docker's RFC 3339 time with up to nine decimals; its year 1 means never."""
    if not text or text.startswith(NEVER):
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.fromisoformat(whole + "+00:00").timestamp()
    return seconds + (float("0." + fraction) if fraction.isdecimal() else 0.0)
