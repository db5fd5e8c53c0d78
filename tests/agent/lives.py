"""A task's life under test, without an engine and without time."""

from dataclasses import replace

from awsorch.agent.events import (
    Action,
    Created,
    Died,
    Event,
    Pulled,
    Report,
    ReportSoon,
    Started,
)
from awsorch.agent.lifecycle import advance
from awsorch.agent.states import (
    Condition,
    ContainerRules,
    ContainerState,
    Dependency,
    begin,
)


class Life:
    """A task under test: its rules, its state, and everything it asked for."""

    def __init__(self, *rules: ContainerRules) -> None:
        self.rules = rules
        self.state = begin(rules)
        self.now = 1000.0
        self.look_at: float | None = None
        self.reports: list[Report] = []

    def see(self, *events: Event) -> list[Action]:
        """The actions that the events led to, reports apart."""
        asked: list[Action] = []
        for event in events:
            decision = advance(self.rules, self.state, event, self.now)
            self.state, self.look_at = decision.state, decision.look_at
            asked += decision.actions
        self.reports += [each for each in asked if isinstance(each, Report)]
        return [each for each in asked if not isinstance(each, Report | ReportSoon)]

    def run(self, name: str) -> None:
        """Bring a container to RUNNING, whatever the others do."""
        self.see(Pulled(container=name), Created(container=name, docker_id=f"id-{name}"))
        self.see(Started(container=name, at=self.now))

    def container(self, name: str = "app") -> ContainerState:
        return self.state.containers[name]


def rules(name: str = "app", **fields: object) -> ContainerRules:
    """Of a container that is like any other but for `fields`."""
    return replace(ContainerRules(name=name), **fields)  # type: ignore[arg-type]


def after(name: str, condition: Condition) -> tuple[Dependency, ...]:
    return (Dependency(on=name, condition=condition),)


def died(name: str = "app", code: int = 0, at: float = 2000.0) -> Died:
    return Died(container=name, exit_code=code, at=at)
