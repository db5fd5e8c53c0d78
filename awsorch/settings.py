"""Every setting of the controller: typed, with its unit in the name, its default and the reason for it.

Source order: environment (``AWSORCH_<NAME>``), then the file that AWSORCH_SETTINGS names (JSON), then the default.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from awsorch.adapters.user_data import joining
from awsorch.core.model import AgentPackage
from awsorch.custom_resources.messages import is_topic

PREFIX = "AWSORCH_"
#: Characters that a secret has at least.
SECRET_LENGTH = 32


class BadSetting(Exception):
    """A setting has a value that it can't have; the message names it and says what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the controller runs with."""

    #: Listen here. Loopback, because without access keys anybody who reaches the door may do anything.
    host: str = "127.0.0.1"
    #: The port that LocalStack made the custom.
    port: int = 4566
    #: Where the store lives.
    data_dir: Path = Path(".awsorch")
    region: str = "us-east-1"
    #: The account that moto gives to everyone.
    account_id: str = "123456789012"
    #: {access key id: secret access key}; empty: signatures are not verified.
    access_keys: Mapping[str, str] = field(default_factory=dict)
    #: What the secret access keys of external instances are derived from, 32 characters or more. Empty: it is made at
    #: the first start and kept in the data folder.
    access_secret: str = field(default="", repr=False)
    #: What the secret access keys of the local cloud's STS are derived from; empty: it gives none that are checked.
    session_secret: str = field(default="", repr=False)
    #: Names of the IAM roles whose EC2 instances may join, a JSON list; ["*"] for all of the account's. Empty: none,
    #: and agents need an access key where there are any.
    instance_roles: tuple[str, ...] = ()
    #: sqlite; postgresql, which several controllers share; or memory (nothing survives; for tests).
    store: str = "sqlite"
    #: The database of store postgresql: postgresql://user:password@host:5432/name?sslmode=require
    database_url: str = field(default="", repr=False)
    #: The name or ARN of the secret that has its password, as RDS keeps it: it may be rotated. Empty: the URL has it.
    database_secret: str = ""
    #: Of controllers that share a store another leads when the one that led has been silent for this long.
    lease_seconds: float = 15.0
    #: Every AWS service but ECS is passed on to this URL; empty: there is none.
    upstream: str = ""
    #: In a local cloud: the URL of LocalStack or the like, which some of them are passed on to in the upstream's place.
    elsewhere: str = ""
    #: The signing names of these services, a JSON list.
    elsewhere_services: tuple[str, ...] = ()
    #: The controller's own calls of AWS go to this URL, with credentials from the usual chain; empty: to AWS itself.
    aws_endpoint: str = ""
    #: The number of the inherited descriptor through which the local fleet is told that instances changed.
    fleet_notify: str = ""
    #: The number of the inherited descriptor through which the local fleet is asked to play outages.
    outages: str = ""
    #: The number of an inherited descriptor that listens: at it instances with networks of their own find the door.
    door_socket: str = ""
    #: The URL at which containers and local instances find the door; empty: nobody but this machine does.
    door_url: str = ""
    #: The local cloud's data folder, in which its load balancers are kept; empty: the upstream's carry no traffic.
    local_dir: str = ""
    #: The prefix ("127.N") of the local cloud's loopback network, in which its load balancers listen.
    loopback_network: str = ""
    #: CloudFormation types, a JSON list, that stacks of the local cloud may have and for which nothing is made.
    inert_types: tuple[str, ...] = ()
    #: A running task without any health check counts as healthy after this long; ECS waits 40 seconds.
    settle_seconds: float = 40.0
    #: Load balancers are asked about targets this often while something moves. ELB's rate limits bear 2 seconds.
    poll_seconds: float = 2.0
    #: An instance that nothing needs is given back after this long; ECS waits 15 minutes.
    idle_seconds: float = 60.0
    #: Services replace the tasks of an instance whose agent has been away for this long. An agent restarts in a second.
    silence_seconds: float = 5.0
    #: The URL of an SQS queue that EventBridge fills with EC2's notices; empty: EC2 is asked when an agent is silent.
    notices_queue: str = ""
    #: The URL of an SQS queue with CloudFormation's requests for custom resources; empty: none are handled.
    custom_resource_queue: str = ""
    #: The ARN of the SNS topic that fills it. Requests are taken for stacks of its account and region only.
    custom_resource_topic: str = ""
    #: Patterns of the ARNs of roles that stacks may give to tasks and services, separated by commas, such as
    #: arn:aws:iam::123456789012:role/app-*; empty: every role of the stack's own account.
    custom_resource_roles: tuple[str, ...] = ()
    #: Hosts that answers may go to besides CloudFormation's own, separated by commas: for what stands in for AWS.
    custom_resource_response_hosts: tuple[str, ...] = ()
    #: User data of the instances that managed providers launch. The setting names a file that `awsorch userdata` wrote;
    #: the cluster's name in it is replaced by each one's. Empty: outside a local cloud no such instance is launched.
    user_data: str = field(default="", repr=False)
    #: The namespace of CloudWatch's metrics. ECS's own is where alarms and target tracking look; AWS reserves it, so an
    #: account that refuses it needs another. Empty: none are published.
    metrics_namespace: str = "AWS/ECS"
    #: What Prometheus has to show as bearer token to read /metrics. Empty: anybody may, as with /awsorch/health.
    metrics_token: str = field(default="", repr=False)
    #: The wheel that UpdateContainerAgent brings to instances: https://…/awsorch-1.2.0-py3-none-any.whl#sha256=<hex>,
    #: or s3://bucket/key of one; the version is in its name. Empty: there is no update.
    agent_package: AgentPackage | None = None
    log_level: str = "INFO"

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """The settings of this process. Raises BadSetting."""
        given: dict[str, Any] = {}
        if path := environment.get(f"{PREFIX}SETTINGS"):
            given.update(_read_file(Path(path)))
        names = {f.name for f in fields(cls)}
        given.update({n: environment[PREFIX + n.upper()] for n in names if PREFIX + n.upper() in environment})
        unknown = sorted(set(given) - names)
        if unknown:
            raise BadSetting(f"unknown settings {unknown}; the known ones are {sorted(names)}")
        return cls(**{name: _PARSERS.get(name, str)(value) for name, value in given.items()}).checked()

    def checked(self) -> Settings:
        """These settings, if they go together. Raises BadSetting."""
        if self.store not in ("sqlite", "postgresql", "memory"):
            raise BadSetting(f"store should be sqlite, postgresql or memory, not {self.store!r}")
        if self.store == "postgresql":
            self._check_shared()
        if self.access_secret and len(self.access_secret) < SECRET_LENGTH:
            raise BadSetting(f"access_secret should have {SECRET_LENGTH} characters or more that nobody can guess")
        if self.custom_resource_queue and not is_topic(self.custom_resource_topic):
            raise BadSetting(
                "custom_resource_queue needs custom_resource_topic, the ARN of the SNS topic that fills it, not "
                f"{self.custom_resource_topic!r}"
            )
        if not self.access_keys and not _is_loopback(self.host):
            raise BadSetting(
                f"host {self.host} is not a loopback address and there are no access keys: anybody who reaches it "
                "could run containers. Set AWSORCH_ACCESS_KEYS, or listen on 127.0.0.1."
            )
        return self

    def _check_shared(self) -> None:
        if not self.database_url.startswith(("postgresql://", "postgres://")):
            raise BadSetting("store postgresql needs database_url, such as postgresql://user@host/name?sslmode=require")
        if not self.access_secret:
            raise BadSetting(
                f"store postgresql needs access_secret, {SECRET_LENGTH} characters or more that nobody can guess and "
                "that all its controllers have"
            )
        if self.lease_seconds < 3.0:
            raise BadSetting("lease_seconds should be 3 or more: leases are renewed three times before they expire")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_file(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadSetting(f"the settings file {path} can't be read: {error}") from error
    if not isinstance(value, dict):
        raise BadSetting(f"the settings file {path} should hold a JSON object")
    return value


def _user_data(value: Any) -> str:
    """The text of the file."""
    if not value:
        return ""
    try:
        text = Path(value).read_text()
        joining(text)
    except (OSError, ValueError) as error:
        raise BadSetting(f"the file {value} can't be user_data: {error}") from error
    return text


def _port(value: Any) -> int:
    if not str(value).isdigit() or not 0 <= int(value) < 65536:
        raise BadSetting(f"port should be a number from 0 to 65535, not {value!r}")
    return int(value)


def _keys(value: Any) -> dict[str, str]:
    try:
        keys = json.loads(value) if isinstance(value, str) and value else value or {}
    except ValueError:
        keys = None
    if not isinstance(keys, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in keys.items()):
        raise BadSetting("access_keys should be a JSON object from access key ids to secret access keys")
    return keys


def _names(name: str, example: str) -> Callable[[Any], tuple[str, ...]]:
    def read(value: Any) -> tuple[str, ...]:
        try:
            names = json.loads(value) if isinstance(value, str) and value else value or []
        except ValueError:
            names = None
        if not isinstance(names, list | tuple) or not all(isinstance(each, str) and each for each in names):
            raise BadSetting(f"{name} should be a JSON list of {example}")
        return tuple(names)

    return read


def _commas(value: Any) -> tuple[str, ...]:
    """What commas separate, or a list of a settings file."""
    given = value.split(",") if isinstance(value, str) else value or ()
    return tuple(text for text in (str(each).strip() for each in given) if text)


def _seconds(name: str) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = -1.0
        if not 0.0 <= seconds <= 86400.0:
            raise BadSetting(f"{name} should be a number of seconds from 0 to 86400, not {value!r}")
        return seconds

    return read


def _agent_package(value: Any) -> AgentPackage | None:
    """Its version from the wheel's name (PEP 427), its SHA-256 from the fragment, as pip has it."""
    if not value:
        return None
    location, _, fragment = str(value).partition("#")
    wheel = _WHEEL.fullmatch(location.rpartition("/")[2])
    digest = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
    if wheel is None or digest is None or not location.startswith(("https://", "http://", "s3://")):
        raise BadSetting(
            "agent_package should be a wheel by URL with its digest, such as "
            f"https://example.com/awsorch-1.2.0-py3-none-any.whl#sha256=<64 hex digits>, not {value!r}"
        )
    return AgentPackage(version=wheel[1], location=location, signature=digest[1])


_WHEEL = re.compile(r"awsorch-([0-9][0-9A-Za-z.!+_]*)-py3-none-any\.whl")

_PARSERS: Mapping[str, Any] = {
    "port": _port,
    "data_dir": Path,
    "custom_resource_roles": _commas,
    "custom_resource_response_hosts": _commas,
    "access_keys": _keys,
    "agent_package": _agent_package,
    "elsewhere_services": _names("elsewhere_services", 'signing names of services, such as ["sqs"]'),
    "inert_types": _names("inert_types", 'types, such as ["AWS::CodeDeploy::Application"]'),
    "instance_roles": _names("instance_roles", 'names of roles, such as ["ecsInstanceRole"]'),
    "user_data": _user_data,
    "settle_seconds": _seconds("settle_seconds"),
    "poll_seconds": _seconds("poll_seconds"),
    "idle_seconds": _seconds("idle_seconds"),
    "lease_seconds": _seconds("lease_seconds"),
    "silence_seconds": _seconds("silence_seconds"),
}
