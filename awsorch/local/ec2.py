"""EC2 as the fleet uses it: the calls to moto (or LocalStack), turned into this folder's records.

It decides nothing: which instances there should be is the fleet's business.
"""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from awsorch.core.capacity.instance_types import CPU_PER_VCPU, visible_memory
from awsorch.local.instances import ZONE_STEP, ZONES, LocalInstance, LocalNetwork
from awsorch.local.interfaces import SeenInterface, is_additional, seen_interfaces
from awsorch.local.moto_child import INSTANCE_IDS_HEADER
from awsorch.local.security_groups import members_of

_log = logging.getLogger(__name__)

_IMAGE_PARAMETER = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
_NETWORK_SEED = 4566
_GROUP_TAG = "aws:autoscaling:groupName"

Ec2Error = (BotoCoreError, ClientError, aiohttp.ClientError, OSError, TimeoutError)
"""What a call may raise when EC2 is down or says no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenInstance:
    """An instance as DescribeInstances shows it."""

    id: str
    state: str
    zone: str
    instance_type: str
    image_id: str
    vpc_id: str
    subnet_id: str
    private_ip: str
    launched_at: float
    tags: dict[str, str] = field(default_factory=dict)
    spot: bool = False
    tokens_required: bool = False
    shows_tags: bool = False
    interfaces: tuple[SeenInterface, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSize:
    """What an agent on an instance type would report: CPU units (1024 a vCPU), MiB."""

    cpu: int
    memory: int


class Ec2(Protocol):
    """The EC2 calls that the fleet makes. Each may raise one of Ec2Error."""

    async def ensure_network(self, prefix: str) -> LocalNetwork:
        """The VPC <prefix>.0.0/16 with a subnet in each of three zones, made where it is missing; moto
        gives it the same ids each time.
        """

    async def describe_instances(self) -> list[SeenInstance]:
        """All instances, terminated ones too."""

    async def describe_user_data(self, instance_id: str) -> str:
        """An instance's user data as text; empty where it has none."""

    async def describe_lifecycle_state(self, instance_id: str) -> str | None:
        """The state that an instance's Auto Scaling group has it in; None where it is in no group. One that its group
        has ended is "Terminated", although the group knows it no more.
        """

    async def describe_size(self, instance_type: str) -> InstanceSize:
        """The size of an instance type."""

    async def run_instance(self, instance: LocalInstance) -> str:
        """Run an instance as the record says; the id that it got, which is the record's where that is
        possible.
        """

    async def stop_instance(self, instance_id: str) -> None:
        """Stop an instance."""

    async def terminate_instance(self, instance_id: str) -> None:
        """Terminate an instance."""


class MotoEc2:
    """EC2 at a URL. Instances come back under the ids they had where that is moto as our child process."""

    def __init__(self, *, url: str, region: str, access_key_id: str, secret_access_key: str) -> None:
        self._url = url
        self._region = region
        self._keys = {"aws_access_key_id": access_key_id, "aws_secret_access_key": secret_access_key}
        self._open = AsyncExitStack()
        self._client: Any = None
        self._scaling: Any = None
        self._sizes: dict[str, InstanceSize] = {}

    async def __aenter__(self) -> MotoEc2:
        self._client = await self._open.enter_async_context(self._service("ec2"))
        self._scaling = await self._open.enter_async_context(self._service("autoscaling"))
        self._client.meta.events.register("before-call.ec2.RunInstances", _ask_for_id)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def _service(self, name: str) -> Any:
        config = AioConfig(
            connect_timeout=5,
            read_timeout=60,
            retries={"total_max_attempts": 3, "mode": "standard"},
            inject_host_prefix=False,
            proxies={},
        )
        return get_session().create_client(
            name, endpoint_url=self._url, region_name=self._region, config=config, **self._keys
        )

    async def ensure_network(self, prefix: str) -> LocalNetwork:
        zones = await self._client.describe_availability_zones()
        zone_ids = dict(
            sorted(
                (zone["ZoneName"], zone["ZoneId"])
                for zone in zones["AvailabilityZones"]
                if zone.get("ZoneType", "availability-zone") == "availability-zone"
            )[:ZONES]
        )
        vpc_id = await self._ensure_vpc(prefix)
        subnets = await self._ensure_subnets(prefix, vpc_id, list(zone_ids))
        image_id = await self._recommended_image()
        return LocalNetwork(prefix=prefix, vpc_id=vpc_id, subnets=subnets, zone_ids=zone_ids, image_id=image_id)

    async def _ensure_vpc(self, prefix: str) -> str:
        found = await self._client.describe_vpcs(Filters=[{"Name": "cidr", "Values": [f"{prefix}.0.0/16"]}])
        if found["Vpcs"]:
            return str(found["Vpcs"][0]["VpcId"])
        await self._seed(_NETWORK_SEED)
        vpc = await self._client.create_vpc(CidrBlock=f"{prefix}.0.0/16", TagSpecifications=_named("vpc"))
        await self._seed(None)
        return str(vpc["Vpc"]["VpcId"])

    async def _ensure_subnets(self, prefix: str, vpc_id: str, zones: list[str]) -> dict[str, str]:
        found = await self._client.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
        blocks = {zone: f"{prefix}.{ZONE_STEP * number}.0/18" for number, zone in enumerate(zones)}
        # Users may make further ones in a zone: those are not the instances'.
        known = sorted(found["Subnets"], key=lambda subnet: subnet["CidrBlock"] in blocks.values())
        subnets = {subnet["AvailabilityZone"]: str(subnet["SubnetId"]) for subnet in known}
        for number, zone in enumerate(zones):
            if zone not in subnets:
                await self._seed(_NETWORK_SEED + 1 + number)
                made = await self._client.create_subnet(
                    VpcId=vpc_id,
                    CidrBlock=blocks[zone],
                    AvailabilityZone=zone,
                    TagSpecifications=_named("subnet"),
                )
                subnets[zone] = str(made["Subnet"]["SubnetId"])
        await self._seed(None)
        return {zone: subnets[zone] for zone in zones}

    async def describe_instances(self) -> list[SeenInstance]:
        found: list[Mapping[str, Any]] = []
        async for page in self._client.get_paginator("describe_instances").paginate():
            for reservation in page["Reservations"]:
                found.extend(reservation["Instances"])
        groups = await self._describe_groups(found)
        members = members_of(found)
        return [
            replace(_seen(each), interfaces=seen_interfaces(each.get("NetworkInterfaces", ()), groups, members))
            for each in found
        ]

    async def _describe_groups(self, instances: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        """Security groups by id; none are asked for while no instance has an additional interface."""
        if not any(is_additional(each) for one in instances for each in one.get("NetworkInterfaces", ())):
            return {}
        groups: dict[str, Mapping[str, Any]] = {}
        async for page in self._client.get_paginator("describe_security_groups").paginate():
            groups |= {group["GroupId"]: group for group in page["SecurityGroups"]}
        return groups

    async def describe_user_data(self, instance_id: str) -> str:
        answer = await self._client.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        encoded = answer.get("UserData", {}).get("Value", "")
        try:
            return base64.b64decode(encoded).decode("utf-8", "replace")
        except ValueError:
            return str(encoded)

    async def describe_lifecycle_state(self, instance_id: str) -> str | None:
        answer = await self._scaling.describe_auto_scaling_instances(InstanceIds=[instance_id])
        for member in answer["AutoScalingInstances"]:
            return str(member["LifecycleState"])
        try:
            described = await self._client.describe_instances(InstanceIds=[instance_id])
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidInstanceID.NotFound":
                return None
            raise
        seen = _seen(described["Reservations"][0]["Instances"][0])
        ended = seen.state in {"shutting-down", "terminated"} and _GROUP_TAG in seen.tags
        return "Terminated" if ended else None

    async def describe_size(self, instance_type: str) -> InstanceSize:
        size = self._sizes.get(instance_type)
        if size is None:
            answer = await self._client.describe_instance_types(InstanceTypes=[instance_type])
            described = answer["InstanceTypes"][0]
            size = InstanceSize(
                cpu=described["VCpuInfo"]["DefaultVCpus"] * CPU_PER_VCPU,
                memory=visible_memory(described["MemoryInfo"]["SizeInMiB"]),
            )
            self._sizes[instance_type] = size
        return size

    async def run_instance(self, instance: LocalInstance) -> str:
        tags = [{"Key": key, "Value": value} for key, value in instance.tags.items() if not key.startswith("aws:")]
        with _asking_for(instance.id):
            answer = await self._client.run_instances(
                ImageId=instance.image_id,
                InstanceType=instance.instance_type,
                MinCount=1,
                MaxCount=1,
                SubnetId=instance.subnet_id,
                PrivateIpAddress=instance.address,
                UserData=instance.user_data,
                MetadataOptions={
                    "HttpTokens": "required" if instance.tokens_required else "optional",
                    "InstanceMetadataTags": "enabled" if instance.shows_tags else "disabled",
                },
                **({"InstanceMarketOptions": {"MarketType": "spot"}} if instance.spot else {}),
                **({"TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]} if tags else {}),
            )
        return str(answer["Instances"][0]["InstanceId"])

    async def stop_instance(self, instance_id: str) -> None:
        await self._client.stop_instances(InstanceIds=[instance_id])

    async def terminate_instance(self, instance_id: str) -> None:
        await self._client.terminate_instances(InstanceIds=[instance_id])

    async def _recommended_image(self) -> str:
        async with self._service("ssm") as ssm:
            try:
                answer = await ssm.get_parameter(Name=_IMAGE_PARAMETER)
                return str(answer["Parameter"]["Value"])
            except ClientError as error:
                _log.info("no ECS-optimised image is known here (%s); taking the first of Amazon's", error)
        images = await self._client.describe_images(Owners=["amazon"])
        return str(min(image["ImageId"] for image in images["Images"]))

    async def _seed(self, seed: int | None) -> None:
        """Seed moto's random ids, so that the network has the same ids in every run; None: at random again.

        Not an AWS call: whatever another backend answers to it is no concern.
        """
        number = secrets.randbits(62) if seed is None else seed
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            session.post(f"{self._url}/moto-api/seed", params={"a": str(number)}) as answer,
        ):
            await answer.read()


_wanted_id: ContextVar[str | None] = ContextVar("wanted_id", default=None)


@contextmanager
def _asking_for(instance_id: str) -> Iterator[None]:
    token = _wanted_id.set(instance_id)
    try:
        yield
    finally:
        _wanted_id.reset(token)


def _ask_for_id(params: dict[str, Any], **_: object) -> None:
    wanted = _wanted_id.get()
    if wanted:
        params["headers"][INSTANCE_IDS_HEADER] = wanted


def _named(resource_type: str) -> list[dict[str, Any]]:
    return [{"ResourceType": resource_type, "Tags": [{"Key": "Name", "Value": "awsorch-local"}]}]


def _seen(instance: Mapping[str, Any]) -> SeenInstance:
    launched: datetime = instance["LaunchTime"]
    metadata = instance.get("MetadataOptions", {})
    return SeenInstance(
        id=instance["InstanceId"],
        state=instance["State"]["Name"],
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        instance_type=instance["InstanceType"],
        image_id=instance["ImageId"],
        vpc_id=instance.get("VpcId", ""),
        subnet_id=instance.get("SubnetId", ""),
        private_ip=instance.get("PrivateIpAddress", ""),
        launched_at=launched.timestamp(),
        tags={tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])},
        spot=instance.get("InstanceLifecycle") == "spot",
        tokens_required=metadata.get("HttpTokens") == "required",
        shows_tags=metadata.get("InstanceMetadataTags") == "enabled",
    )
