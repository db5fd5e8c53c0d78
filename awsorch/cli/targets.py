"""How the targets of a service are at its load balancers.

ECS does not tell it, so Elastic Load Balancing is asked, at AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2 (without _V2 for
classic ones), else at AWS_ENDPOINT_URL, else where the ECS API listens: the local cloud answers for both there. Where
nobody answers there is nothing to tell; that is no fault of a command.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from awsorch.cli.session import Session

REST_SECONDS = 5.0
"""How long nobody is asked after nobody answered."""
LEAVING = ("draining",)


@dataclass(slots=True, kw_only=True)
class TargetReader:
    """Counts healthy targets. One that failed is asked again only after a rest, so that it holds up no live view."""

    session: Session
    clients: dict[str, Any] = field(default_factory=dict)
    rests_until: float = 0.0

    def count(self, service: dict[str, Any]) -> tuple[int, int] | None:
        """(healthy, all) targets of a service's load balancers, without those that drain; None where nobody tells."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        balancers = service.get("loadBalancers") or []
        if not balancers or time.monotonic() < self.rests_until:
            return None
        try:
            states = [state for balancer in balancers for state in self.states(balancer)]
        except (BotoCoreError, ClientError, ResponseParserError):
            self.rests_until = time.monotonic() + REST_SECONDS
            return None
        staying = [state for state in states if state not in LEAVING]
        return sum(state in ("healthy", "InService") for state in staying), len(staying)

    def states(self, balancer: dict[str, Any]) -> list[str]:
        """The state of every target of one target group or classic load balancer."""
        if group := balancer.get("targetGroupArn"):
            answer = self.client("elbv2").describe_target_health(TargetGroupArn=group)
            return [one["TargetHealth"]["State"] for one in answer["TargetHealthDescriptions"]]
        answer = self.client("elb").describe_instance_health(LoadBalancerName=balancer["loadBalancerName"])
        return [one["State"] for one in answer["InstanceStates"]]

    def client(self, name: str) -> Any:
        if name not in self.clients:
            from botocore.config import Config

            config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
            self.clients[name] = self.session.boto.client(
                name, endpoint_url=self.endpoint(name), region_name=self.session.region, config=config
            )
        return self.clients[name]

    def endpoint(self, name: str) -> str:
        version = "_V2" if name == "elbv2" else ""
        variable = f"AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING{version}"
        return os.environ.get(variable) or os.environ.get("AWS_ENDPOINT_URL") or self.session.endpoint


def say_targets(counted: tuple[int, int] | None) -> str:
    """Counted targets as a cell: "2/3 healthy"."""
    return f"{counted[0]}/{counted[1]} healthy" if counted else ""
