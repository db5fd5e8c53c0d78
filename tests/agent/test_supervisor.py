"""The loop that owns the tasks: in virtual time, with simulated containers."""

import asyncio
from dataclasses import replace
from pathlib import Path

from awsorch.wire import acs
from tests.agent.tasks import a_container, a_task, short, stop
from tests.agent.worlds import World, play


def test_a_task_runs_to_its_end(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        task = a_task(short(code=3))
        assert await world.run(task)
        running = await world.reported(task, "RUNNING")
        assert running["containers"][0]["runtimeId"]
        assert running["cluster"] == "c1"
        stopped = await world.reported(task, "STOPPED")
        assert stopped["reason"] == ""
        assert stopped["containers"][0]["exitCode"] == 3
        assert stopped["executionStoppedAt"] > stopped["pullStoppedAt"] >= stopped["pullStartedAt"]
        assert world.statuses(task) == ["RUNNING", "STOPPED"]

    play(tmp_path, scenario)


def test_containers_have_ecs_s_names_and_labels(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        task = a_task(a_container("my_app"))
        await world.run(task)
        await world.reported(task, "RUNNING")
        found = await world.engine.inspect(world.container(task, "my_app")["runtimeId"])
        assert found is not None
        assert found.name == "ecs-web-7-myapp-0000"
        assert found.labels == {
            "com.amazonaws.ecs.task-arn": task.arn,
            "com.amazonaws.ecs.container-name": "my_app",
            "com.amazonaws.ecs.task-definition-family": "web",
            "com.amazonaws.ecs.task-definition-version": "7",
            "com.amazonaws.ecs.cluster": "c1",
            "com.amazonaws.ecs.container-instance-arn": ("arn:aws:ecs:us-east-1:123456789012:container-instance/c1/1"),
        }

    play(tmp_path, scenario)


def test_a_payload_that_comes_twice_or_late_changes_nothing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        task = a_task(short())
        assert await world.run(task)
        assert await world.run(task)
        await world.reported(task, "STOPPED")
        assert await world.run(task)
        await asyncio.sleep(60)
        assert len(world.engine.starts) == 1
        assert world.statuses(task) == ["RUNNING", "STOPPED"]

    play(tmp_path, scenario)


def test_a_stop_for_an_unknown_task_is_answered(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        bare, listed = a_task(), a_task(desired_status="STOPPED")
        assert await world.run(stop(bare), listed)
        assert (await world.reported(bare, "STOPPED"))["reason"] == (
            "TaskStateError: Agent could not progress task's state to stopped"
        )
        assert (await world.reported(listed, "STOPPED"))["reason"] == ""
        assert world.engine.starts == []

    play(tmp_path, scenario)


def test_one_bad_task_does_not_stop_the_others_and_spoils_the_acknowledgement(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        good, bad = a_task(), a_task(a_container(overrides='{"cpu": 1}'))
        assert not await world.run(bad, good)
        assert (await world.reported(bad, "STOPPED"))["reason"] == (
            "UnrecogniedTaskError: Error loading task - container app: only the command can be overridden"
        )
        await world.reported(good, "RUNNING")

    play(tmp_path, scenario)


def test_an_order_that_cannot_exist_stops_the_task(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        waits = (acs.ContainerDependency(container_name="nobody", condition="START"),)
        task = a_task(a_container(depends_on=waits))
        assert await world.run(task)
        reason = (await world.reported(task, "STOPPED"))["reason"]
        assert reason == f"Task dependencies cannot be resolved, taskArn: {task.arn}"

    play(tmp_path, scenario)


def test_what_is_not_offered_as_a_capability_is_refused_with_a_reason(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        task = a_task(network_mode="awsvpc")
        assert await world.run(task)
        assert (await world.reported(task, "STOPPED"))["reason"] == (
            f"resource cannot be initialized for task {task.arn}: network mode awsvpc"
        )

    play(tmp_path, scenario)


def test_the_host_is_a_strict_queue(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.memory = 1000
        await world.start()
        first, large, small = (a_task(short(memory=memory)) for memory in (600, 600, 100))
        await world.run(first, large, small)
        await world.reported(first, "RUNNING")
        assert world.statuses(small) == [], "the head of the queue blocks those behind it"
        await world.reported(first, "STOPPED")
        await world.reported(large, "RUNNING")
        await world.reported(small, "RUNNING")

    play(tmp_path, scenario)


def test_stops_come_first_so_their_room_can_be_used(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.memory = 600
        await world.start()
        old, new = a_task(a_container(memory=600)), a_task(a_container(memory=600))
        await world.run(old)
        await world.reported(old, "RUNNING")
        await world.run(new, stop(old))
        await world.reported(old, "STOPPED")
        await world.reported(new, "RUNNING")

    play(tmp_path, scenario)


def test_a_waiting_task_that_is_stopped_leaves_the_queue(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.memory = 600
        await world.start()
        too_large, small = a_task(a_container(memory=700)), a_task(a_container(memory=100))
        await world.run(too_large, small)
        await world.stop(too_large)
        await world.reported(too_large, "STOPPED")
        await world.reported(small, "RUNNING")

    play(tmp_path, scenario)


def test_dynamic_ports_are_chosen_and_reported(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        mappings = (
            acs.PortMapping(container_port=80),
            acs.PortMapping(container_port_range="9000-9002", protocol="udp"),
            acs.PortMapping(container_port=81, host_port=8081),
        )
        task = a_task(a_container(port_mappings=mappings))
        await world.run(task)
        report = await world.reported(task, "RUNNING")
        assert report["containers"][0]["networkBindings"] == [
            {"bindIP": "0.0.0.0", "protocol": "tcp", "containerPort": 80, "hostPort": 32768},
            {
                "bindIP": "0.0.0.0",
                "protocol": "udp",
                "containerPortRange": "9000-9002",
                "hostPortRange": "32769-32771",
            },
            {"bindIP": "0.0.0.0", "protocol": "tcp", "containerPort": 81, "hostPort": 8081},
        ]

    play(tmp_path, scenario)


def test_no_free_port_is_a_failed_create(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        task = a_task(a_container(port_mappings=(acs.PortMapping(container_port_range="1-40"),)))
        await world.run(task)
        report = await world.reported(task, "STOPPED")
        assert report["containers"][0]["reason"] == (
            "CannotCreateContainerError: no host port: the range 32768-32800 does not have 40 free tcp ports in a row"
        )

    play(tmp_path, scenario)


def test_health_lets_the_dependent_start(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        waits = (acs.ContainerDependency(container_name="db", condition="HEALTHY"),)
        db = a_container("db", environment={"SIMULATED_HEALTH": "healthy:20"}, health_check_type="docker")
        task = a_task(db, a_container("web", depends_on=waits))
        began = asyncio.get_running_loop().time()
        await world.run(task)
        pending = await world.reported(task, "PENDING")
        assert [each["status"] for each in pending["containers"]] == ["RUNNING"], "db alone, after the report delay"
        await world.reported(task, "RUNNING")
        assert asyncio.get_running_loop().time() - began >= 20

    play(tmp_path, scenario)


def test_a_container_that_ignores_its_stop_signal_is_killed(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        task = a_task(a_container(environment={"SIMULATED_STOP": "ignore"}, stop_timeout=7))
        await world.run(task)
        await world.reported(task, "RUNNING")
        began = asyncio.get_running_loop().time()
        await world.stop(task)
        await world.reported(task, "STOPPED")
        assert 7 <= asyncio.get_running_loop().time() - began < 8
        assert world.container(task)["exitCode"] == 137

    play(tmp_path, scenario)


def test_cleanup_waits_for_its_time_and_for_the_report(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        task = a_task(short(seconds=0.5))
        await world.run(task)
        await world.reported(task, "RUNNING")
        world.outage = True
        await asyncio.sleep(1000)
        docker_id = world.container(task)["runtimeId"]
        assert await world.engine.inspect(docker_id) is not None, "the controller has not heard of the end"
        world.outage = False
        await world.reported(task, "STOPPED")
        await asyncio.sleep(1)
        assert await world.engine.inspect(docker_id) is None
        assert world.tasks == {}
        await world.kill()
        await world.start()
        assert world.tasks == {}

    play(tmp_path, scenario)


def test_task_volumes_live_as_long_as_the_task_and_shared_ones_longer(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        volumes = (
            acs.Volume(name="scratch", type="host", host=acs.HostVolume()),
            acs.Volume(
                name="kept",
                type="docker",
                docker_volume_configuration=acs.DockerVolume(scope="shared", autoprovision=True),
            ),
        )
        mounts = tuple(acs.MountPoint(source_volume=each.name, container_path=f"/{each.name}") for each in volumes)
        task = a_task(short(mount_points=mounts), volumes=volumes)
        await world.run(task)
        await world.reported(task, "RUNNING")
        assert await world.engine.has_volume("ecs-web-7-scratch-0001")
        assert await world.engine.has_volume("kept")
        await world.reported(task, "STOPPED")
        await asyncio.sleep(700)
        assert not await world.engine.has_volume("ecs-web-7-scratch-0001")
        assert await world.engine.has_volume("kept")

    play(tmp_path, scenario)


def test_a_shared_volume_must_exist_unless_it_may_be_made(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        volume = acs.Volume(name="v", type="docker", docker_volume_configuration=acs.DockerVolume(scope="shared"))
        mount = acs.MountPoint(source_volume="v", container_path="/v")
        task = a_task(a_container(mount_points=(mount,)), volumes=(volume,))
        await world.run(task)
        report = await world.reported(task, "STOPPED")
        assert report["containers"][0]["reason"] == (
            "CannotCreateVolumeError: shared volume v does not exist and autoprovision is off"
        )

    play(tmp_path, scenario)


def test_a_manifest_names_the_tasks_that_should_not_be_here(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        kept, extra, stopped = a_task(), a_task(), a_task()
        await world.run(kept, extra, stopped)
        for task in (kept, extra, stopped):
            await world.reported(task, "RUNNING")
        manifest = acs.TaskManifestMessage(
            message_id="m",
            timeline=5,
            tasks=(
                acs.TaskIdentifier(task_arn=kept.arn, desired_status="RUNNING"),
                acs.TaskIdentifier(task_arn=stopped.arn, desired_status="STOPPED"),
            ),
        )
        candidates = world.supervisor.compare(manifest)
        assert candidates is not None
        assert {each.task_arn for each in candidates} == {extra.arn, stopped.arn}
        assert world.supervisor.compare(manifest) is None, "its number is known already"
        await world.kill()
        await world.start()
        assert world.supervisor.compare(manifest) is None, "also after a restart"
        world.supervisor.stop([extra.arn])
        await world.reported(extra, "STOPPED")
        assert world.statuses(kept) == ["RUNNING"]

    play(tmp_path, scenario)


def test_a_restart_policy_restarts_the_same_container(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        policy = acs.RestartPolicy(enabled=True, restart_attempt_period=60)
        task = a_task(short(seconds=100, restart_policy=policy))
        await world.run(task)
        await asyncio.sleep(350)
        assert len(world.engine.starts) == 4
        assert len(set(world.engine.starts)) == 1
        assert world.statuses(task) == ["RUNNING"]

    play(tmp_path, scenario)


def test_old_settings_do_not_matter_to_running_tasks(tmp_path: Path) -> None:
    """A smaller host after a restart: the tasks that run go on, new ones wait."""

    async def scenario(world: World) -> None:
        await world.start()
        running, waiting = a_task(a_container(memory=600)), a_task(a_container(memory=600))
        await world.run(running)
        await world.reported(running, "RUNNING")
        await world.kill()
        world.memory = 700
        world.settings = replace(world.settings, region="eu-west-1")
        await world.start()
        await world.run(waiting)
        await asyncio.sleep(60)
        assert world.statuses(waiting) == []
        assert world.statuses(running) == ["RUNNING"]

    play(tmp_path, scenario)
