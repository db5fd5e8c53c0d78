"""A task's life as any events at all."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from awsorch.agent.events import (
    Action,
    Admitted,
    Create,
    Created,
    CreateFailed,
    Died,
    Event,
    HealthChanged,
    Looked,
    Pulled,
    PullFailed,
    RanOutOfMemory,
    ReportDue,
    Start,
    Started,
    StartFailed,
    StopWanted,
    Vanished,
)
from awsorch.agent.states import (
    Call,
    Condition,
    ContainerRules,
    Dependency,
    Health,
    RestartRule,
    Status,
)
from tests.agent.lives import Life, died

NAMES = ("a", "b", "c")


@st.composite
def any_rules(draw: st.DrawFn) -> tuple[ContainerRules, ...]:
    """Containers that may wait for those before them."""
    made: list[ContainerRules] = []
    for index, name in enumerate(NAMES[: draw(st.integers(1, 3))]):
        waits = draw(st.lists(st.sampled_from(NAMES[:index]), unique=True)) if index else []
        made.append(
            ContainerRules(
                name=name,
                essential=draw(st.booleans()),
                depends_on=tuple(Dependency(on=on, condition=draw(st.sampled_from(Condition))) for on in waits),
                start_timeout=draw(st.sampled_from([None, 5.0])),
                stop_timeout=2.0,
                restart=draw(st.sampled_from([None, RestartRule(attempt_period=1.0)])),
            )
        )
    return tuple(made)


def any_event() -> st.SearchStrategy[Event]:
    name, at = st.sampled_from(NAMES), st.floats(900.0, 1100.0)
    return st.one_of(
        st.builds(Admitted),
        st.builds(StopWanted),
        st.builds(Looked),
        st.builds(ReportDue),
        st.builds(Pulled, container=name),
        st.builds(PullFailed, container=name, error=st.just("CannotPullContainerError: x"), fatal=st.booleans()),
        st.builds(Created, container=name, docker_id=st.just("id")),
        st.builds(CreateFailed, container=name, error=st.just("CannotCreateContainerError: x")),
        st.builds(Started, container=name, at=at, docker_id=st.sampled_from([None, "id"])),
        st.builds(StartFailed, container=name, error=st.just("CannotStartContainerError: x")),
        st.builds(
            Died,
            container=name,
            exit_code=st.sampled_from([0, 1, 137]),
            at=at,
            missed=st.booleans(),
            looked_up=st.booleans(),
        ),
        st.builds(RanOutOfMemory, container=name),
        st.builds(Vanished, container=name, at=at),
        st.builds(HealthChanged, container=name, health=st.sampled_from(Health), at=at),
    )


def check_step(before: Life, life: Life, asked: Iterable[Action]) -> None:
    for name, was in before.state.containers.items():
        now = life.state.containers[name]
        assert now.known >= was.known, "a status went backwards"
        if was.known is Status.STOPPED:
            assert now == was, "a stopped container changed"
    starts = [each.container for each in asked if isinstance(each, Start)]
    creates = [each.container for each in asked if isinstance(each, Create)]
    assert len(starts) == len(set(starts))
    assert len(creates) == len(set(creates))
    for name in creates:
        assert before.state.containers[name].known < Status.CREATED
    if before.state.stopping:
        assert not starts, "something was started while stopping"
        assert not creates, "something was created while stopping"


@settings(max_examples=300, deadline=None)
@given(any_rules(), st.lists(any_event(), max_size=40), st.data())
def test_whatever_happens(task: tuple[ContainerRules, ...], events: list[Event], data: st.DataObject) -> None:
    """Statuses never go back, calls are made once, and a task that is told to stop gets there."""
    life = Life(*task)
    created: list[str] = []
    for event in events:
        before = Life(*task)
        before.state = life.state
        life.now += data.draw(st.floats(0.0, 3.0))
        asked = life.see(event)
        check_step(before, life, asked)
        created += [each.container for each in asked if isinstance(each, Create)]
    assert len(created) == len(set(created)), "a container was created twice"
    finish(life)
    assert life.state.known is Status.STOPPED
    statuses = [each.status for each in life.reports if each.status >= Status.RUNNING]
    assert statuses == sorted(statuses)
    told = {change.name: change.status for report in life.reports for change in report.changes}
    assert told == dict.fromkeys(told, Status.STOPPED)
    assert set(told) == {each.name for each in task}


def finish(life: Life) -> None:
    """An engine that does what it is told, until the task has stopped."""
    life.see(StopWanted())
    for _ in range(40):
        if life.state.known is Status.STOPPED:
            return
        life.now += 100.0
        for name, container in life.state.containers.items():
            match container.call:
                case Call.CREATE:
                    life.see(Created(container=name, docker_id="id"))
                case Call.START | Call.RESTART:
                    life.see(Started(container=name, at=life.now))
                case _:
                    if container.signalled_at is not None:
                        life.see(died(name, 137, at=life.now))
        life.see(Looked())
