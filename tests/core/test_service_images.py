"""All tasks of a service revision run the images that its first one found behind their tags."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from awsorch.core.events_services import StopServiceDeployment, UpdateService
from awsorch.core.model_services import ServiceRevision
from tests.support.service_world import ServiceWorld

OLD, NEW = (f"sha256:{digit * 64}" for digit in "12")


@pytest.fixture
def world() -> ServiceWorld:
    made = ServiceWorld()
    push(made, OLD)
    return made


def push(world: ServiceWorld, digest: str | None) -> None:
    """From now on every tag stands for this."""
    world.digest_of = lambda image: image.partition("@")[2] or digest


def deploy(world: ServiceWorld, **container: Any) -> None:
    """A revision whose container is like this."""
    wish = world.wish("web", 2)
    (given,) = wish.definition.definition["containerDefinitions"]
    document = {**wish.definition.definition, "containerDefinitions": [{**given, **container}]}
    world.act(
        UpdateService(name="web", revision=replace(wish, definition=replace(wish.definition, definition=document)))
    )


def steady(world: ServiceWorld) -> None:
    world.run(600, until=world.steady)


def revision(world: ServiceWorld) -> ServiceRevision:
    return world.state.service_revisions[f"web/{world.primary().revision}"]


def images(world: ServiceWorld) -> list[str]:
    return sorted(task.containers[0].image for task in world.tasks())


def digests(world: ServiceWorld) -> set[str | None]:
    return {task.containers[0].image_digest for task in world.tasks()}


def test_tasks_that_come_later_run_what_the_first_one_ran(world: ServiceWorld) -> None:
    world.create(count=1)
    steady(world)
    assert revision(world).image_digests == {"app": OLD}
    push(world, NEW)
    world.update(desired_count=3)
    steady(world)
    assert images(world) == ["busybox", f"busybox@{OLD}", f"busybox@{OLD}"]
    assert digests(world) == {OLD}


def test_a_new_deployment_asks_again_and_turning_back_does_not(world: ServiceWorld) -> None:
    world.create(count=2)
    steady(world)
    push(world, NEW)
    world.deploy()
    world.run(3, until=lambda: revision(world).image_digests == {"app": NEW})
    world.act(StopServiceDeployment(service="web", id=str(world.service().service_deployment)))
    steady(world)
    assert revision(world).image_digests == {"app": OLD}
    world.update(desired_count=4)
    steady(world)
    assert digests(world) == {OLD}


def test_the_first_answer_counts(world: ServiceWorld) -> None:
    world.create(count=2)
    answers = iter((OLD, NEW))
    world.digest_of = lambda image: next(answers)
    steady(world)
    assert revision(world).image_digests == {"app": OLD}
    assert digests(world) == {OLD, NEW}, "both were sent before anybody knew"


def test_containers_may_be_left_out(world: ServiceWorld) -> None:
    world.create(count=1)
    steady(world)
    deploy(world, versionConsistency="disabled")
    steady(world)
    world.update(desired_count=2)
    steady(world)
    assert revision(world).image_digests == {}
    assert images(world) == ["busybox", "busybox"]


def test_an_image_that_is_named_by_its_digest_stays_so(world: ServiceWorld) -> None:
    world.create(count=1)
    steady(world)
    deploy(world, image=f"busybox@{NEW}")
    steady(world)
    world.update(desired_count=2)
    steady(world)
    assert revision(world).image_digests == {"app": NEW}
    assert images(world) == [f"busybox@{NEW}"] * 2


@pytest.mark.parametrize("digest", [None, "", "latest", "sha256:12", f"{OLD} "])
def test_what_is_no_digest_changes_nothing(world: ServiceWorld, digest: str | None) -> None:
    push(world, digest)
    world.create(count=1)
    steady(world)
    world.update(desired_count=2)
    steady(world)
    assert revision(world).image_digests == {}
    assert images(world) == ["busybox", "busybox"]
