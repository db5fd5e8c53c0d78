"""Launches that the local cloud's EC2 refuses because somebody asked for that.

moto never lacks capacity, so what a cluster does when EC2 does could not be tried. A fault names an instance type, a
zone, or both or none, and the error that EC2 gives; it holds for a number of launches or until it is taken away.
RunInstances, Auto Scaling groups and CreateFleet all meet it. Instances that the fleet brings back are spared: they
were launched before.
Source: EC2 API, "Error codes"; EC2 user guide, "Insufficient instance capacity"; CreateFleet, Errors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/awsorch/faults"
_CAPACITY = "InsufficientInstanceCapacity"
_LARGEST = 64 * 1024
_Code = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]+(\.[A-Za-z]+)*$", max_length=100)]


class LaunchFault(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which launches are refused, and how. `count`: how many still are; None for all."""

    instance_type: str | None = None
    zone: str | None = None
    code: _Code = _CAPACITY
    message: str | None = None
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def concerns(self, instance_type: str, zone: str | None) -> bool:
        """Whether a launch is refused. A launch that names no zone gets round a fault of one zone."""
        return self.instance_type in (None, instance_type) and self.zone in (None, zone)


class LaunchFaults:
    """The faults that are on. `spared` says whether the launch under way is not to be refused."""

    def __init__(self, spared: Callable[[], bool]) -> None:
        self._spared = spared
        self._turn = threading.Lock()
        self._faults: list[LaunchFault] = []

    def put(self, fault: LaunchFault) -> None:
        """Add a fault; it takes the place of one for the same type and zone."""
        with self._turn:
            kept = [
                each for each in self._faults if (each.instance_type, each.zone) != (fault.instance_type, fault.zone)
            ]
            self._faults = [*kept, fault]

    def clear(self) -> None:
        """Take all away."""
        with self._turn:
            self._faults = []

    def meet(self, instance_type: str, zone: str | None, zones: Iterable[str]) -> tuple[str, str] | None:
        """The error's code and message for a launch, of which there are `zones` in the region; None where it goes
        well. A counted fault has one refusal less then.
        """
        if self._spared():
            return None
        with self._turn:
            fault = next((each for each in self._faults if each.concerns(instance_type, zone)), None)
            if fault is None:
                return None
            if fault.count is not None:
                fault.count -= 1
                self._faults = [each for each in self._faults if each.count != 0]
            refused = {each for each in zones if any(one.concerns(instance_type, each) for one in self._faults)}
            others = sorted(set(zones) - refused - {zone})
        return fault.code, fault.message or _words(fault.code, instance_type, zone, others)

    def around(self, application: WSGIApplication) -> WSGIApplication:
        """The application, with a path where faults are put (POST), read (GET) and taken away (DELETE)."""

        def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ.get("PATH_INFO") != PATH:
                return application(environ, start_response)
            status, answer = self._answer(environ)
            body = msgspec.json.encode(answer)
            start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]

        return call

    def _answer(self, environ: WSGIEnvironment) -> tuple[str, dict[str, Any]]:
        match environ["REQUEST_METHOD"]:
            case "POST":
                body = environ["wsgi.input"].read(min(_LARGEST, int(environ.get("CONTENT_LENGTH") or 0)))
                try:
                    self.put(msgspec.json.decode(body, type=LaunchFault))
                except msgspec.DecodeError as error:
                    like = (
                        '{"instanceType": "t3.medium", "zone": "us-east-1a", "code": "…", "message": "…", "count": 1}'
                    )
                    words = f"The body should be like {like}, each member as you like: {error}"
                    return "400 Bad Request", {"__type": "InvalidParameterException", "message": words}
            case "DELETE":
                self.clear()
            case "GET":
                pass
            case method:
                words = f"{method} is not known here; POST puts a fault, GET reads them, DELETE takes all away."
                return "400 Bad Request", {"__type": "UnknownOperationException", "message": words}
        with self._turn:
            return "200 OK", {"faults": list(self._faults)}


def mend_launches(faults: LaunchFaults) -> None:
    """Have moto's EC2 meet the faults. Raises AttributeError where it no longer is what this was written for."""
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.models import EC2Backend

    run = EC2Backend.run_instances

    def run_instances(self: Any, *given: Any, **named: Any) -> Any:
        instance_type = named.get("instance_type") or _type_of_template(self, named.get("launch_template"))
        zone = _zone_of(self, named.get("subnet_id"), named.get("placement"))
        met = faults.meet(instance_type, zone, _zones(self))
        if met is not None:
            raise EC2ClientError(*met)
        return run(self, *given, **named)

    EC2Backend.run_instances = run_instances
    _mend_fleets(faults)


def _mend_fleets(faults: LaunchFaults) -> None:
    """CreateFleet launches what it can, and tells of the rest."""
    from moto.ec2.models.fleets import Fleet
    from moto.ec2.responses.fleets import Fleets

    count, create = Fleet.get_launch_spec_counts, Fleets.create_fleet

    def get_launch_spec_counts(self: Any, weight_to_add: float) -> tuple[dict[Any, int], float]:
        every, good = self.launch_specs, []
        for spec in every:
            zone = _zone_of(self.ec2_backend, spec.subnet_id, (spec.overrides or {}).get("AvailabilityZone"))
            met = faults.meet(spec.instance_type, zone, _zones(self.ec2_backend))
            if met is None:
                good.append(spec)
            else:
                vars(self).setdefault("awsorch_errors", []).append(_fleet_error(self, spec, *met))
        if not good:
            return {}, 0.0
        self.launch_specs = good
        try:
            counted: tuple[dict[Any, int], float] = count(self, weight_to_add)
            return counted
        finally:
            self.launch_specs = every

    def create_fleet(self: Any) -> Any:
        answer = create(self)
        fleet = self.ec2_backend.get_fleet(answer.result["FleetId"])
        if fleet.fleet_type == "instant":
            answer.result["Errors"] = vars(fleet).get("awsorch_errors", [])
        return answer

    Fleet.get_launch_spec_counts = get_launch_spec_counts
    Fleets.create_fleet = create_fleet


def _fleet_error(fleet: Any, spec: Any, code: str, message: str) -> dict[str, Any]:
    template: dict[str, Any] = {"LaunchTemplateSpecification": spec.launch_template_spec}
    if spec.overrides:
        template["Overrides"] = spec.overrides
    lifecycle = fleet.target_capacity_specification.get("DefaultTargetCapacityType") or "on-demand"
    return {
        "LaunchTemplateAndOverrides": template,
        "Lifecycle": lifecycle,
        "ErrorCode": code,
        "ErrorMessage": message,
    }


def _type_of_template(backend: Any, template: dict[str, Any] | None) -> str:
    data = backend._get_template_from_args(template).data if template else {}
    return str(data.get("InstanceType", ""))


def _zone_of(backend: Any, subnet: str | None, zone: str | None) -> str | None:
    if not subnet:
        return zone
    return str(backend.get_subnet(subnet).availability_zone)


def _zones(backend: Any) -> list[str]:
    return [zone.name for zone in backend.describe_availability_zones()]


def _words(code: str, instance_type: str, zone: str | None, others: list[str]) -> str:
    if code != _CAPACITY:
        return f"The launch of {instance_type} was refused ({code})."
    here = f"the Availability Zone you requested ({zone})" if zone else "any Availability Zone of the region"
    words = (
        f"We currently do not have sufficient {instance_type} capacity in {here}. Our system will be working on "
        "provisioning additional capacity."
    )
    if not others:
        return words
    return (
        f"{words} You can currently get {instance_type} capacity by not specifying an Availability Zone in your "
        f"request or choosing {', '.join(others)}."
    )
