"""What `awsorch up` can be told, and what of it is refused."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from awsorch.local.netns import what_is_missing

Engine = Literal["docker", "simulated"]
Hosts = Literal["loopback", "netns"]

_REGISTRY = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")

DEFAULT_KEYS = ("test", "test")
"""What clients sign with where no signature is checked; any would do."""


class CannotStart(RuntimeError):
    """The local cloud does not start; the message says why and what to do."""


def default_data() -> Path:
    """The data folder when none is given: $AWSORCH_DATA, else ~/.awsorch.

    Not one in the current folder: the default port makes it one cloud a machine, and `awsorch down` or
    `awsorch ps` must find it from any folder.
    """
    return Path(os.environ.get("AWSORCH_DATA") or Path.home() / ".awsorch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the local cloud is to be. `instances` is how many of its own it runs at least; `hosts` whether instances
    share this machine's network and Docker Engine (loopback) or have their own (netns); `aws` the URL of
    LocalStack or the like instead of moto; `access_keys` maps ids to secrets (none: signatures are not
    checked); `port` 0 takes a free one; `registry`, a host and port, has the images of ECR; `inert` names
    CloudFormation types for which nothing is made. `leave` names services that `aws` is to have although the local
    cloud has them itself.
    """

    instances: int = 2
    instance_type: str = "t3.medium"
    host: str = "127.0.0.1"
    port: int = 4566
    data: Path = field(default_factory=default_data)
    cluster: str = "default"
    engine: Engine = "docker"
    hosts: Hosts = "loopback"
    aws: str | None = None
    access_keys: Mapping[str, str] = field(default_factory=dict)
    region: str = "us-east-1"
    registry: str | None = None
    inert: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()

    @property
    def first_key(self) -> tuple[str, str]:
        """The access key that the local cloud's own parts sign with."""
        return next(iter(self.access_keys.items()), DEFAULT_KEYS)


def check(options: Options) -> None:
    """Raise CannotStart for options that make no sense, or that would open an unguarded door to the
    network.
    """
    if options.instances < 0:
        raise CannotStart(f"instances must be 0 or more, not {options.instances}")
    if options.engine not in get_args(Engine):
        raise CannotStart(f"engine must be one of {', '.join(get_args(Engine))}, not {options.engine!r}")
    if options.hosts not in get_args(Hosts):
        raise CannotStart(f"hosts must be one of {', '.join(get_args(Hosts))}, not {options.hosts!r}")
    if options.hosts == "netns" and options.engine != "docker":
        raise CannotStart(f"hosts netns have Docker Engines of their own: not with --engine {options.engine}")
    if options.hosts == "netns" and (missing := what_is_missing()):
        raise CannotStart(f"hosts netns need {missing}; without --hosts netns, instances share this machine's network")
    odd = [each for each in options.inert if each.count("::") < 1]
    if odd:
        raise CannotStart(f"inert must name types such as AWS::CodeDeploy::Application, not {odd[0]!r}")
    if options.registry is not None and not _REGISTRY.fullmatch(options.registry):
        raise CannotStart(f"registry must be a host and port such as 127.0.0.1:5000, not {options.registry!r}")
    if options.leave and options.aws is None:
        raise CannotStart("leave needs aws, the URL of what the services are left to")
    if options.aws is not None and not options.aws.startswith(("http://", "https://")):
        raise CannotStart(f"aws must be a URL such as http://127.0.0.1:4567, not {options.aws!r}")
    if not options.access_keys and not _is_loopback(options.host):
        raise CannotStart(
            f"without access keys nothing checks who calls, so {options.host} is refused: "
            "give access keys, or listen on a loopback address such as 127.0.0.1"
        )


def take_port(host: str, port: int) -> int:
    """Check that the door can listen on a port, and choose a free one for 0. Raises CannotStart."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise CannotStart(
                f"port {port} on {host} cannot be used ({error.strerror}): stop what has it, or choose another one "
                "with --port"
            ) from error
        return int(probe.getsockname()[1])


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
