"""Reads every load balancer and target group from ELB's API of the upstream (moto, or LocalStack and its like).

It exists because the upstream stores them well and carries no traffic. Everything is read each time: some calls for
each load balancer, one for each target group. Reads may see half of a change that is under way; whoever made it asks
for another look when it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from awsorch.local.balancer.model import HealthCheck, PoolProtocol
from awsorch.local.elb_facts import Facts, Listener, LoadBalancer, Shape, TargetGroup, classic_key

_Read = TypeVar("_Read")

_CALLS_AT_ONCE = 8
_APPLICATION_IDLE_SECONDS = 60
_NETWORK_IDLE_SECONDS = 350
_CHECKED_AS = {"HTTP": "HTTP", "HTTPS": "HTTPS"}
"""By ELB's health check protocol; all others are checked by a TCP connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenInstance:
    """An EC2 instance as DescribeInstances shows it: private IP address ("" for none) and state's name."""

    address: str
    state: str


class ElbReader:
    """ELB's and EC2's API of the upstream, as the local balancer reads them. Calls raise one of ec2.Ec2Error."""

    def __init__(self, *, url: str, region: str, access_key_id: str, secret_access_key: str) -> None:
        self._arguments = {
            "endpoint_url": url,
            "region_name": region,
            "aws_access_key_id": access_key_id,
            "aws_secret_access_key": secret_access_key,
            "config": AioConfig(
                connect_timeout=5,
                read_timeout=60,
                proxies={},
                retries={"total_max_attempts": 2, "mode": "standard"},
                max_pool_connections=_CALLS_AT_ONCE,
            ),
        }
        self._open = AsyncExitStack()
        self._elbv2: Any = None
        self._elb: Any = None
        self._ec2: Any = None

    async def __aenter__(self) -> ElbReader:
        self._elbv2, self._elb, self._ec2 = [
            await self._open.enter_async_context(get_session().create_client(name, **self._arguments))
            for name in ("elbv2", "elb", "ec2")
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def read(self) -> Facts:
        """Everything there is now."""
        groups, balancers, classic = await asyncio.gather(
            self._read_target_groups(), self._read_load_balancers(), self._read_classic()
        )
        load_balancers = {each.key: each for each in (*balancers, *(one for one, _ in classic))}
        own = (group for _, those in classic for group in those)
        return Facts(load_balancers=load_balancers, target_groups={each.key: each for each in (*groups, *own)})

    async def describe_instances(self, ids: Iterable[str]) -> Mapping[str, SeenInstance]:
        """Those of the EC2 instances that there are."""
        wanted = {"Name": "instance-id", "Values": sorted(ids)}
        return {
            instance["InstanceId"]: SeenInstance(
                address=instance.get("PrivateIpAddress", ""), state=instance["State"]["Name"]
            )
            async for reservation in _pages(self._ec2, "describe_instances", "Reservations", Filters=[wanted])
            for instance in reservation["Instances"]
        }

    async def _read_target_groups(self) -> list[TargetGroup]:
        async def read(group: Shape) -> TargetGroup:
            arn = group["TargetGroupArn"]
            answer = await self._elbv2.describe_target_group_attributes(TargetGroupArn=arn)
            return _target_group(group, _attributes(answer))

        return await _for_each(
            read, [each async for each in _pages(self._elbv2, "describe_target_groups", "TargetGroups")]
        )

    async def _read_load_balancers(self) -> list[LoadBalancer]:
        async def read(balancer: Shape) -> LoadBalancer:
            arn = balancer["LoadBalancerArn"]
            attributes = _attributes(await self._elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn))
            listeners = _pages(self._elbv2, "describe_listeners", "Listeners", LoadBalancerArn=arn)
            kind = balancer.get("Type", "application")
            usual = _APPLICATION_IDLE_SECONDS if kind == "application" else _NETWORK_IDLE_SECONDS
            return LoadBalancer(
                key=arn,
                name=balancer["LoadBalancerName"],
                kind=kind,
                idle_timeout_seconds=int(attributes.get("idle_timeout.timeout_seconds", usual)),
                listeners=tuple([await self._read_listener(each) async for each in listeners]),
            )

        found = [each async for each in _pages(self._elbv2, "describe_load_balancers", "LoadBalancers")]
        return await _for_each(read, found)

    async def _read_listener(self, listener: Shape) -> Listener:
        arn = listener["ListenerArn"]
        rules = [each async for each in _pages(self._elbv2, "describe_rules", "Rules", ListenerArn=arn)]
        return Listener(
            key=arn,
            port=int(listener.get("Port", 0)),
            protocol=listener.get("Protocol", ""),
            actions=tuple(listener["DefaultActions"]),
            rules=tuple(each for each in rules if not each["IsDefault"]),
        )

    async def _read_classic(self) -> list[tuple[LoadBalancer, list[TargetGroup]]]:
        async def read(balancer: Shape) -> tuple[LoadBalancer, list[TargetGroup]]:
            name = balancer["LoadBalancerName"]
            answer = await self._elb.describe_load_balancer_attributes(LoadBalancerName=name)
            return _classic(balancer, answer["LoadBalancerAttributes"])

        pages = _pages(self._elb, "describe_load_balancers", "LoadBalancerDescriptions")
        return await _for_each(read, [each async for each in pages])


async def _pages(client: Any, operation: str, member: str, **arguments: Any) -> AsyncIterator[Shape]:
    async for page in client.get_paginator(operation).paginate(**arguments):
        for each in page[member]:
            yield each


async def _for_each(read: Callable[[Shape], Awaitable[_Read]], shapes: list[Shape]) -> list[_Read]:
    return list(await asyncio.gather(*(read(each) for each in shapes)))


def _attributes(answer: Shape) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in answer["Attributes"]}


def _target_group(group: Shape, attributes: Mapping[str, str]) -> TargetGroup:
    port = group.get("HealthCheckPort", "traffic-port")
    return TargetGroup(
        key=group["TargetGroupArn"],
        owner=group["TargetGroupArn"],
        name=group["TargetGroupName"],
        target_type=group.get("TargetType", "instance"),
        protocol=group.get("Protocol", ""),
        port=int(group.get("Port", 0)),
        check=HealthCheck(
            protocol=cast(PoolProtocol, _CHECKED_AS.get(group.get("HealthCheckProtocol", ""), "TCP")),
            path=group.get("HealthCheckPath") or "/",
            port=int(port) if port.isdecimal() else None,
            matcher=group.get("Matcher", {}).get("HttpCode") or "200",
            interval_seconds=float(group["HealthCheckIntervalSeconds"]),
            timeout_seconds=float(group["HealthCheckTimeoutSeconds"]),
            healthy_threshold=int(group["HealthyThresholdCount"]),
            unhealthy_threshold=int(group["UnhealthyThresholdCount"]),
            enabled=group.get("HealthCheckEnabled", True),
        ),
        attributes=attributes,
    )


def _classic(balancer: Shape, attributes: Shape) -> tuple[LoadBalancer, list[TargetGroup]]:
    """A classic load balancer, and a target group for each of its listeners."""
    key = classic_key(balancer["LoadBalancerName"])
    listeners, groups = [], []
    for described in balancer["ListenerDescriptions"]:
        listener = described["Listener"]
        group = f"{key}/{listener['LoadBalancerPort']}"
        listeners.append(
            Listener(
                key=f"{group}/listener",
                port=int(listener["LoadBalancerPort"]),
                protocol=listener["Protocol"],
                actions=({"Type": "forward", "TargetGroupArn": group},),
            )
        )
        groups.append(
            TargetGroup(
                key=group,
                owner=key,
                name=balancer["LoadBalancerName"],
                target_type="instance",
                protocol=listener.get("InstanceProtocol", listener["Protocol"]),
                port=int(listener["InstancePort"]),
                check=_classic_check(balancer.get("HealthCheck") or {}, int(listener["InstancePort"])),
                attributes=_classic_attributes(balancer, described, attributes),
            )
        )
    balanced = LoadBalancer(
        key=key,
        name=balancer["LoadBalancerName"],
        kind="classic",
        idle_timeout_seconds=int(attributes.get("ConnectionSettings", {}).get("IdleTimeout", 60)),
        listeners=tuple(listeners),
    )
    return balanced, groups


def _classic_check(check: Shape, instance_port: int) -> HealthCheck:
    """ "HTTP:80/path" or "TCP:80"; without one ELB opens a connection to the first listener's instance port."""
    protocol, _, rest = check.get("Target", f"TCP:{instance_port}").partition(":")
    port, slash, path = rest.partition("/")
    return HealthCheck(
        protocol=cast(PoolProtocol, _CHECKED_AS.get(protocol, "TCP")),
        path=f"{slash}{path}" or "/",
        port=int(port) if port.isdecimal() else None,
        interval_seconds=float(check.get("Interval", 30)),
        timeout_seconds=float(check.get("Timeout", 5)),
        healthy_threshold=int(check.get("HealthyThreshold", 10)),
        unhealthy_threshold=int(check.get("UnhealthyThreshold", 2)),
    )


def _classic_attributes(balancer: Shape, described: Shape, attributes: Shape) -> dict[str, str]:
    """What a classic load balancer says of draining and stickiness, in the words of target group attributes."""
    draining = attributes.get("ConnectionDraining", {})
    delay = draining.get("Timeout", 300) if draining.get("Enabled") else 0
    found = {"deregistration_delay.timeout_seconds": str(delay)}
    policies = balancer.get("Policies", {})
    for policy in policies.get("LBCookieStickinessPolicies", []):
        if policy["PolicyName"] in described["PolicyNames"]:
            seconds = str(policy.get("CookieExpirationPeriod") or 86_400)
            found |= {"stickiness.enabled": "true", "stickiness.type": "lb_cookie"}
            found["stickiness.lb_cookie.duration_seconds"] = seconds
    for policy in policies.get("AppCookieStickinessPolicies", []):
        if policy["PolicyName"] in described["PolicyNames"]:
            found |= {"stickiness.enabled": "true", "stickiness.type": "app_cookie"}
            found["stickiness.app_cookie.cookie_name"] = policy["CookieName"]
    return found
