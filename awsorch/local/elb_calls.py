"""Elastic Load Balancing as the door hands it over: what is answered here, what is changed in answers, what is learned.

The upstream keeps load balancers, listeners, rules and target groups. Targets and their health are answered here, in
both of ELB's APIs, for the region that this controller serves; other regions' are the upstream's alone.
"""

from __future__ import annotations

import logging
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from awsorch.local.elb_facts import classic_key
from awsorch.local.elb_names import RENAMED, rename
from awsorch.local.front_ends import FrontEnds, Kept
from awsorch.local.query_protocol import QueryRefused, read_form, read_request, service_model, write_answer
from awsorch.local.service_call import Protocol, ServiceCall
from awsorch.local.service_errors import ErrorAnswer, ServiceError, write_error
from awsorch.local.targets import Targets
from awsorch.local.targets_classic import ClassicTargets

_log = logging.getLogger(__name__)

_SERVICE = "elasticloadbalancing"
_CLASSIC_VERSION = "2012-06-01"
_READING = ("Describe", "Get", "List")
_Operation = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class ElbCalls:
    """The calls of ELB's APIs that concern the local balancer, in its region."""

    def __init__(
        self, *, region: str, front_ends: FrontEnds, targets: Targets, classic: ClassicTargets, kept: Kept
    ) -> None:
        self._region = region
        self._front_ends = front_ends
        self._targets = targets
        self._classic = classic
        self._kept = kept
        self._operations: dict[str, _Operation] = {
            "RegisterTargets": self._register,
            "DeregisterTargets": self._deregister,
            "DescribeTargetHealth": self._describe,
            "RegisterInstancesWithLoadBalancer": self._register_instances,
            "DeregisterInstancesFromLoadBalancer": self._deregister_instances,
            "DescribeInstanceHealth": self._describe_instances,
        }

    def concerns(self, call: ServiceCall, region: str) -> bool:
        """Whether a call is for ELB, or may change what ELB has, in this region."""
        return region == self._region and call.service in {_SERVICE, "cloudformation"}

    def answers(self, call: ServiceCall) -> bool:
        """Whether a call is answered here and not by the upstream."""
        return call.service == _SERVICE and call.operation in self._operations

    def renames(self, call: ServiceCall) -> bool:
        """Whether the upstream's answer to a call is to be changed."""
        return call.service == _SERVICE and call.operation in RENAMED

    async def answer(self, call: ServiceCall, query: str, body: bytes) -> tuple[int, ErrorAnswer]:
        """The HTTP status, headers and body that a call is answered with."""
        request_id = str(uuid.uuid4())
        form = read_form(query, body)
        try:
            model = service_model(form.get("Version", ""))
            if model is None or call.operation not in model.operation_names:
                message = f"{call.operation} is no operation of version {form.get('Version')!r} of the API."
                raise QueryRefused("InvalidAction", message)
            operation = model.operation_model(call.operation)
            value = await self._operations[call.operation](read_request(operation, form))
        except QueryRefused as refusal:
            return refusal.error.status, write_error(refusal.error, Protocol.QUERY, request_id)
        except (OSError, sqlite3.Error) as error:
            _log.warning("%s: %s", call.operation, error)
            said = ServiceError(
                status=503, code="ServiceUnavailable", message=f"{call.operation} cannot be kept: {error}"
            )
            return said.status, write_error(said, Protocol.QUERY, request_id)
        headers = {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}
        return 200, ErrorAnswer(headers=headers, body=write_answer(operation, value, request_id))

    def rename(self, query: str, body: bytes, answer: bytes) -> bytes:
        """The upstream's answer with the addresses that load balancers have here."""
        return rename(answer, read_form(query, body), self._kept.addresses.address, self._classic.instances)

    def learn(self, call: ServiceCall, query: str, body: bytes) -> None:
        """The upstream has carried out a call, or failed on the way."""
        if call.operation.startswith(_READING):
            return
        self._front_ends.elb_changed()
        if call.service == _SERVICE and call.operation == "DeleteLoadBalancer":
            form = read_form(query, body)
            if form.get("Version") == _CLASSIC_VERSION:
                self._kept.registrations.forget(classic_key(form.get("LoadBalancerName", "")))

    def instances_changed(self) -> None:
        """EC2 instances may have come, stopped or gone."""
        self._front_ends.instances_changed()

    async def _register(self, request: Mapping[str, Any]) -> dict[str, Any]:
        await self._targets.register(request["TargetGroupArn"], request["Targets"])
        return {}

    async def _deregister(self, request: Mapping[str, Any]) -> dict[str, Any]:
        await self._targets.deregister(request["TargetGroupArn"], request["Targets"])
        return {}

    async def _describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        found = await self._targets.describe(request["TargetGroupArn"], request.get("Targets", []))
        return {"TargetHealthDescriptions": found}

    async def _register_instances(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"Instances": await self._classic.register(request["LoadBalancerName"], request["Instances"])}

    async def _deregister_instances(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"Instances": await self._classic.deregister(request["LoadBalancerName"], request["Instances"])}

    async def _describe_instances(self, request: Mapping[str, Any]) -> dict[str, Any]:
        states = await self._classic.describe(request["LoadBalancerName"], request.get("Instances", []))
        return {"InstanceStates": states}
