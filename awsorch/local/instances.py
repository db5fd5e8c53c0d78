"""What a local instance is: an EC2 instance of the local cloud that one agent makes real, and how it is
kept on disk.

moto forgets everything when it ends, so the fleet's own file is what says which instances exist. The file is
replaced as a whole or not at all. Nothing here talks to EC2 or starts anything.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from awsorch.local.files import write_private

ZONES = 3
ZONE_STEP = 64
"""The third octet of a zone's subnet (a /18) is that of the zone before plus this."""


class PowerState(StrEnum):
    """The states in which the fleet keeps an instance; a terminated one only until nothing is left of it."""

    RUNNING = "running"
    STOPPED = "stopped"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalInstance:
    """One instance. `cpu` in CPU units (1024 a core), `memory` in MiB as an agent would report it;
    `address` is its own loopback address and private IP; `launched_at` in seconds since 1970; `own` where
    `awsorch up` ran it; `spot` where it was bought so; `ends_at`, in seconds since 1970, where EC2 has given notice
    that it takes the instance then; `tokens_required` where its metadata wants IMDSv2, `shows_tags` where it has tags.
    """

    id: str
    index: int
    address: str
    zone: str
    zone_id: str
    instance_type: str
    cpu: int
    memory: int
    image_id: str
    vpc_id: str
    subnet_id: str
    user_data: str
    cluster: str
    launched_at: float
    own: bool
    tags: dict[str, str] = field(default_factory=dict)
    state: PowerState = PowerState.RUNNING
    spot: bool = False
    ends_at: float | None = None
    tokens_required: bool = False
    shows_tags: bool = False

    @property
    def mac(self) -> str:
        """A locally administered MAC address that follows from the IP address, so that it never changes."""
        return "0a:ff:" + ":".join(f"{octet:02x}" for octet in ipaddress.IPv4Address(self.address).packed)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNetwork:
    """The VPC of the local cloud: the /16 of loopback addresses that is its own, and a subnet in each
    zone.
    """

    prefix: str
    vpc_id: str
    subnets: dict[str, str]
    zone_ids: dict[str, str]
    image_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRecord:
    """Everything that the fleet remembers. `next_index` only grows, so no address is used twice.

    `secret` signs what the instances' metadata services hand out.
    """

    network: LocalNetwork | None
    instances: tuple[LocalInstance, ...]
    next_index: int
    secret: str


class FleetFile:
    """fleet.json in the data folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load_or_begin(self) -> FleetRecord:
        """The record, or the first one where there is no file. Raises ValueError where the file is no
        record.
        """
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            first = FleetRecord(network=None, instances=(), next_index=0, secret=secrets.token_hex(32))
            self.save(first)
            return first
        try:
            return msgspec.json.decode(text, type=FleetRecord)
        except msgspec.DecodeError as error:
            raise ValueError(
                f"{self._path} is not a fleet file of this version ({error}); move it away to start afresh"
            ) from error

    def save(self, record: FleetRecord) -> None:
        """Replace the file by the record, durably. Raises OSError where the disk does not take it."""
        write_private(self._path, msgspec.json.format(msgspec.json.encode(record), indent=1).decode())


def address_of(network: LocalNetwork, zone: str, index: int) -> str:
    """The loopback address for the instance with an index, inside its zone's subnet: 250 to a /24."""
    zone_number = list(network.subnets).index(zone)
    return f"{network.prefix}.{ZONE_STEP * zone_number + 1 + index // 250}.{1 + index % 250}"
