"""A task's life as lists of events."""

import pytest

from awsorch.agent import dependencies
from awsorch.agent.events import (
    Admitted,
    Create,
    Created,
    CreateFailed,
    Died,
    HealthChanged,
    Kill,
    Looked,
    LookUp,
    Pull,
    Pulled,
    PullFailed,
    RanOutOfMemory,
    ReportDue,
    Start,
    Started,
    StartFailed,
    StopWanted,
    Terminate,
    Vanished,
)
from awsorch.agent.states import (
    Call,
    Condition,
    Health,
    RestartRule,
    Status,
)
from tests.agent.lives import Life, after, died, rules


class TestOneContainer:
    def test_nothing_begins_before_the_host_has_room(self) -> None:
        assert Life(rules()).see(Looked()) == []

    def test_it_is_pulled_created_and_started_in_turn(self) -> None:
        life = Life(rules())
        assert life.see(Admitted()) == [Pull(container="app")]
        assert life.see(Pulled(container="app")) == [Create(container="app")]
        assert life.see(Created(container="app", docker_id="id")) == [Start(container="app")]
        assert life.see(Started(container="app", at=1001.0)) == []
        assert life.state.known is Status.RUNNING

    def test_running_is_reported_once_with_its_docker_id(self) -> None:
        life = Life(rules())
        life.see(Admitted())
        life.run("app")
        life.see(Started(container="app", at=1001.0), Looked(), ReportDue())
        assert [each.status for each in life.reports] == [Status.RUNNING]
        assert [(each.name, each.status, each.docker_id) for each in life.reports[0].changes] == [
            ("app", Status.RUNNING, "id-app")
        ]

    def test_an_essential_exit_stops_the_task_with_an_empty_reason(self) -> None:
        life = Life(rules())
        life.see(Admitted())
        life.run("app")
        life.see(died(code=3, at=1005.0))
        report = life.reports[-1]
        assert (report.status, report.reason) == (Status.STOPPED, "")
        assert [(each.status, each.exit_code, each.reason) for each in report.changes] == [(Status.STOPPED, 3, "")]
        assert life.state.execution_stopped_at == 1005.0

    def test_a_failed_pull_lets_a_local_image_be_tried(self) -> None:
        life = Life(rules())
        life.see(Admitted())
        error = "CannotPullContainerError: no"
        assert life.see(PullFailed(container="app", error=error)) == [Create(container="app")]
        life.see(CreateFailed(container="app", error="CannotCreateContainerError: No such image", image_missing=True))
        assert life.reports[-1].changes[0].reason == error
        assert life.reports[-1].changes[0].exit_code is None

    def test_another_failure_of_create_is_its_own_reason(self) -> None:
        life = Life(rules())
        life.see(Admitted(), PullFailed(container="app", error="CannotPullContainerError: no"))
        life.see(CreateFailed(container="app", error="CannotCreateContainerError: bad"))
        assert life.reports[-1].changes[0].reason == "CannotCreateContainerError: bad"

    def test_a_wrong_command_has_docker_s_exit_code(self) -> None:
        life = Life(rules())
        life.see(Admitted(), Pulled(container="app"), Created(container="app", docker_id="id"))
        asked = life.see(StartFailed(container="app", error="CannotStartContainerError: no such file", exit_code=127))
        assert asked == []
        assert life.reports[-1].changes[0].exit_code == 127
        assert life.reports[-1].changes[0].reason == "CannotStartContainerError: no such file"

    def test_a_start_that_timed_out_is_killed_in_case_it_happens_after_all(self) -> None:
        life = Life(rules())
        life.see(Admitted(), Pulled(container="app"), Created(container="app", docker_id="id"))
        assert life.see(StartFailed(container="app", error="DockerTimeoutError: …", timed_out=True)) == [
            Kill(container="app")
        ]

    def test_out_of_memory_is_the_reason_of_the_death_that_follows(self) -> None:
        life = Life(rules())
        life.see(Admitted())
        life.run("app")
        life.see(RanOutOfMemory(container="app"), died(code=137))
        assert life.reports[-1].changes[0].reason == "OutOfMemoryError: Container killed due to memory usage"

    def test_a_child_killed_for_memory_does_not_spoil_a_good_exit(self) -> None:
        life = Life(rules())
        life.see(Admitted())
        life.run("app")
        life.see(RanOutOfMemory(container="app"), died(code=0))
        assert life.reports[-1].changes[0].reason == ""

    def test_a_container_that_vanished_is_stopped_without_an_exit_code(self) -> None:
        life = Life(rules())
        life.see(Admitted())
        life.run("app")
        life.see(Vanished(container="app", at=1001.0))
        change = life.reports[-1].changes[-1]
        assert change.reason == "ContainerVanishedError: No container matching saved ID found"
        assert change.exit_code is None

    def test_a_start_and_death_found_by_looking_do_not_start_it_again(self) -> None:
        life = Life(rules())
        life.see(Admitted(), Pulled(container="app"))
        assert life.container().call is Call.CREATE
        assert life.see(Started(container="app", at=1000.0, docker_id="id"), died(at=1001.0)) == []
        assert life.state.known is Status.STOPPED

    def test_a_death_that_is_told_before_the_start_is_looked_up(self) -> None:
        life = Life(rules())
        life.see(Admitted(), Pulled(container="app"), Created(container="app", docker_id="id"))
        assert life.see(died(at=1002.0)) == []
        assert life.see(Started(container="app", at=1001.0)) == [LookUp(container="app")]
        life.see(died(at=1002.0))
        assert life.state.known is Status.STOPPED


class TestStopping:
    def test_before_anything_began(self) -> None:
        life = Life(rules())
        life.see(StopWanted())
        assert [(each.status, each.reason) for each in life.reports] == [(Status.STOPPED, "")]

    def test_a_task_without_containers(self) -> None:
        life = Life()
        life.see(StopWanted())
        assert life.reports[0].reason == "TaskStateError: Agent could not progress task's state to stopped"

    def test_while_it_is_pulled(self) -> None:
        life = Life(rules())
        life.see(Admitted(), StopWanted())
        assert life.reports[-1].status is Status.STOPPED
        assert life.see(Pulled(container="app")) == []

    def test_while_it_is_created(self) -> None:
        life = Life(rules())
        life.see(Admitted(), Pulled(container="app"), StopWanted())
        assert life.reports == []
        assert life.see(Created(container="app", docker_id="id")) == []
        assert life.reports[-1].status is Status.STOPPED

    def test_while_it_is_started(self) -> None:
        life = Life(rules())
        life.see(Admitted(), Pulled(container="app"), Created(container="app", docker_id="id"), StopWanted())
        assert life.see(Started(container="app", at=1000.0)) == [Terminate(container="app")]

    def test_term_then_kill_after_the_grace_then_kill_again(self) -> None:
        life = Life(rules(stop_timeout=5.0))
        life.see(Admitted())
        life.run("app")
        assert life.see(StopWanted()) == [Terminate(container="app")]
        assert life.look_at == 1005.0
        life.now = 1004.9
        assert life.see(Looked()) == []
        life.now = 1005.0
        assert life.see(Looked()) == [Kill(container="app")]
        life.now = 1015.0
        assert life.see(Looked()) == [Kill(container="app")]
        life.see(died(code=137, at=1016.0))
        assert life.reports[-1].changes[-1].exit_code == 137

    def test_wanting_it_twice_signals_once(self) -> None:
        life = Life(rules())
        life.see(Admitted())
        life.run("app")
        assert life.see(StopWanted(), StopWanted()) == [Terminate(container="app")]

    def test_a_task_that_never_ran_as_a_whole_is_not_reported_running(self) -> None:
        life = Life(rules("db"), rules("web", depends_on=after("db", Condition.HEALTHY)))
        life.see(Admitted(), Pulled(container="web"))
        life.run("db")
        life.see(StopWanted(), died("db", 143))
        assert [each.status for each in life.reports] == [Status.STOPPED]


class TestDependencies:
    def pair(self, condition: Condition, **db: object) -> Life:
        life = Life(
            rules("db", essential=False, **db), rules("web", depends_on=after("db", condition), essential=False)
        )
        life.see(Admitted(), Pulled(container="web"))
        assert life.container("web").known is Status.PULLED
        return life

    def test_images_are_pulled_without_waiting(self) -> None:
        life = Life(rules("db"), rules("web", depends_on=after("db", Condition.HEALTHY)))
        assert life.see(Admitted()) == [Pull(container="db"), Pull(container="web")]

    def test_created_needs_no_start(self) -> None:
        life = self.pair(Condition.CREATED)
        life.see(Pulled(container="db"))
        assert Create(container="web") in life.see(Created(container="db", docker_id="id"))

    def test_start(self) -> None:
        life = self.pair(Condition.START)
        life.run("db")
        assert life.container("web").call is Call.CREATE

    def test_start_is_met_by_one_that_has_stopped_already(self) -> None:
        life = self.pair(Condition.START)
        life.see(Pulled(container="db"), CreateFailed(container="db", error="CannotCreateContainerError: no"))
        assert life.container("web").call is Call.CREATE

    @pytest.mark.parametrize("code", [0, 1])
    def test_complete_takes_any_exit_code(self, code: int) -> None:
        life = self.pair(Condition.COMPLETE)
        life.run("db")
        assert life.container("web").call is None
        assert life.see(died("db", code)) == [Create(container="web")]

    def test_success(self) -> None:
        life = self.pair(Condition.SUCCESS)
        life.run("db")
        assert life.see(died("db", 0)) == [Create(container="web")]

    def test_success_that_cannot_be(self) -> None:
        life = self.pair(Condition.SUCCESS)
        life.run("db")
        life.see(died("db", 9))
        assert life.container("web").exit_code == 143
        assert life.container("web").reason == (
            "CannotStartContainerError: dependency on container db (SUCCESS) cannot be met: it stopped with exit code 9"
        )

    def test_healthy(self) -> None:
        life = self.pair(Condition.HEALTHY)
        life.run("db")
        assert life.see(HealthChanged(container="db", health=Health.UNHEALTHY, at=1001.0)) == []
        assert life.see(HealthChanged(container="db", health=Health.HEALTHY, at=1002.0)) == [Create(container="web")]

    def test_healthy_that_died(self) -> None:
        life = self.pair(Condition.HEALTHY)
        life.run("db")
        life.see(died("db", 0))
        assert life.container("web").exit_code == 143

    def test_the_dependency_s_start_timeout_counts_from_its_start(self) -> None:
        life = self.pair(Condition.HEALTHY, start_timeout=30.0)
        life.now = 1500.0
        life.run("db")
        assert life.look_at == 1530.0
        life.now = 1530.0
        life.see(Looked())
        assert life.container("web").known is Status.STOPPED
        assert "its startTimeout of 30 seconds is over" in life.container("web").reason

    def test_stops_go_in_reverse_order(self) -> None:
        life = self.pair(Condition.START)
        life.run("db")
        life.see(Created(container="web", docker_id="id-web"), Started(container="web", at=1000.0))
        assert life.see(StopWanted()) == [Terminate(container="web")]
        assert life.see(died("web", 143)) == [Terminate(container="db")]

    def test_a_change_of_one_container_waits_for_company(self) -> None:
        life = self.pair(Condition.HEALTHY)
        life.run("db")
        assert life.reports == []
        life.see(ReportDue())
        assert [(each.status, [c.name for c in each.changes]) for each in life.reports] == [(Status.NONE, ["db"])]

    @pytest.mark.parametrize(
        ("waits", "possible"),
        [({}, True), ({"a": "b"}, True), ({"a": "b", "b": "a"}, False), ({"a": "a"}, False), ({"a": "x"}, False)],
    )
    def test_which_orders_exist(self, waits: dict[str, str], possible: bool) -> None:
        task = {
            name: rules(name, depends_on=after(waits[name], Condition.START) if name in waits else ())
            for name in ("a", "b", "c")
        }
        assert dependencies.is_resolvable(task) is possible


class TestRestarts:
    def life(self, period: float = 60.0, ignored: tuple[int, ...] = ()) -> Life:
        life = Life(rules(restart=RestartRule(attempt_period=period, ignored_exit_codes=ignored)))
        life.see(Admitted())
        life.run("app")
        return life

    def test_the_same_container_is_started_again_without_a_report(self) -> None:
        life = self.life()
        assert life.see(died(code=1, at=1060.0)) == [Start(container="app")]
        life.see(Started(container="app", at=1061.0))
        assert (life.container().restarts, life.container().known) == (1, Status.RUNNING)
        assert len(life.reports) == 1

    def test_not_before_the_attempt_period_is_over(self) -> None:
        life = self.life()
        assert life.see(died(code=1, at=1059.9)) == []
        assert life.state.known is Status.STOPPED

    def test_not_for_an_ignored_exit_code(self) -> None:
        assert self.life(ignored=(0,)).see(died(code=0, at=1100.0)) == []

    def test_not_while_stopping(self) -> None:
        life = self.life()
        life.see(StopWanted())
        assert life.see(died(code=143, at=1100.0)) == []

    def test_not_when_nobody_saw_the_exit(self) -> None:
        life = self.life()
        assert life.see(Died(container="app", exit_code=1, at=1100.0, missed=True)) == []
        assert life.state.known is Status.STOPPED

    def test_a_death_that_is_told_twice_is_one_death(self) -> None:
        life = self.life(period=0.0)
        life.see(died(code=1, at=1060.0), died(code=1, at=1060.0))
        life.see(Started(container="app", at=1061.0), died(code=1, at=1060.0))
        assert life.container().restarts == 1

    def test_a_short_run_may_end_before_the_time_of_its_start_s_event(self) -> None:
        life = self.life()
        life.see(died(code=1, at=1060.0), Started(container="app", at=1061.5))
        life.see(Died(container="app", exit_code=1, at=1059.9, looked_up=True))
        assert life.container().known is Status.RUNNING, "the first death, looked up late"
        life.see(Died(container="app", exit_code=1, at=1061.4, looked_up=True))
        assert life.container().known is Status.STOPPED

    def test_a_stop_during_a_restart_waits_for_it(self) -> None:
        life = self.life()
        life.see(died(code=1, at=1060.0))
        assert life.see(StopWanted()) == []
        assert life.see(Started(container="app", at=1061.0)) == [Terminate(container="app")]
