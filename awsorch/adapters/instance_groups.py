"""EC2 Auto Scaling: carries out what is decided of groups, and tells how they are.

One sequence of calls a group at a time, different groups side by side. Commands of one kind for a group take each
other's place while they wait, because each says all that is to be done. What comes of it is posted as an event to the
cluster that asked: GroupSeen, or GroupFailed. Nothing is decided here.
Source: Amazon EC2 Auto Scaling API 2011-01-01.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.adapters.group_reader import HOOK, GroupReader
from awsorch.adapters.load_balancers import Post
from awsorch.core.commands import EndMachines, HoldMachines, ProtectMachines, SetGroupSize, WatchGroup
from awsorch.core.events_capacity import GroupFailed
from awsorch.core.model_capacity import GOING
from awsorch.engine.ports import AutoScalingGroup, CloudFailure

logger = logging.getLogger(__name__)

TAG = "AmazonECSManaged"
#: How long the group waits for a heartbeat of the hook. Seconds.
HEARTBEAT_S = 3600
#: SetInstanceProtection takes so many ids.
BATCH = 50

GroupCommand = WatchGroup | SetGroupSize | ProtectMachines | EndMachines | HoldMachines


class AutoScalingGroups:
    """Implements engine.ports.InstanceGroups and engine.ports.AutoScaling."""

    def __init__(self, aws: AwsCalls, post: Post, reader: GroupReader) -> None:
        self._aws = aws
        self._post = post
        self._reader = reader
        self._turns = Turns()
        self._waiting: dict[tuple[str, str], dict[tuple[Any, ...], GroupCommand]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._refusals: dict[str, set[str]] = {}
        self._carriers: Mapping[type[Any], Callable[[str, Any], Awaitable[None]]] = {
            WatchGroup: self._prepare,
            SetGroupSize: self._set_size,
            ProtectMachines: self._protect,
            EndMachines: self._end,
            HoldMachines: self._hold,
        }

    # --- commands ----------------------------------------------------------------------------------------------------

    def watch_group(self, cluster: str, command: WatchGroup) -> None:
        """See how a group is, and that it has ECS's tag and hook."""
        self._enter(cluster, (WatchGroup,), command)

    def set_group_size(self, cluster: str, command: SetGroupSize) -> None:
        """SetDesiredCapacity, then see."""
        self._enter(cluster, (SetGroupSize,), command)

    def protect_machines(self, cluster: str, command: ProtectMachines) -> None:
        """SetInstanceProtection."""
        self._enter(cluster, (ProtectMachines, command.protected), command)

    def end_machines(self, cluster: str, command: EndMachines) -> None:
        """TerminateInstanceInAutoScalingGroup with a smaller desired capacity, then see."""
        self._enter(cluster, (EndMachines, command.machines), command)

    def hold_machines(self, cluster: str, command: HoldMachines) -> None:
        """CompleteLifecycleAction, or RecordLifecycleActionHeartbeat."""
        self._enter(cluster, (HoldMachines, command.release), command)

    async def close(self) -> None:
        """Stop calling. What was under way may or may not have been done."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    # --- a group, for checks -----------------------------------------------------------------------------------------

    async def find_group(self, arn_or_name: str) -> AutoScalingGroup | None:
        """The group, None where there is no such. Raises CloudFailure where it can't be asked for."""
        try:
            async with self._turns.one():
                found = await self._reader.find(name_of(arn_or_name))
        except AwsError as error:
            raise CloudFailure(error.code, error.message) from error
        if found is None or (arn_or_name.startswith("arn:") and found["AutoScalingGroupARN"] != arn_or_name):
            return None
        protected = bool(found.get("NewInstancesProtectedFromScaleIn"))
        return AutoScalingGroup(
            arn=found["AutoScalingGroupARN"], name=found["AutoScalingGroupName"], protected=protected
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _enter(self, cluster: str, kind: tuple[Any, ...], command: GroupCommand) -> None:
        lane = (cluster, command.group or "")
        idle = lane not in self._waiting
        self._waiting.setdefault(lane, {})[kind] = command
        if idle:
            task = asyncio.get_running_loop().create_task(self._serve(lane), name=f"group {command.group}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _serve(self, lane: tuple[str, str]) -> None:
        """Carry out the commands of one group until none waits."""
        cluster, group = lane
        try:
            while waiting := self._waiting[lane]:
                command = waiting.pop(next(iter(waiting)))
                try:
                    async with self._turns.one():
                        await self._carriers[type(command)](name_of(group), command)
                        # Whoever waits behind this one looks as well.
                        if not self._waiting[lane]:
                            self._post(cluster, await self._reader.see(command.provider, name_of(group)))
                except AwsError as error:
                    self._post(cluster, _failure(command, error))
                except Exception:
                    logger.exception("%s: %s was not carried out; a planner will ask again", group, command)
        finally:
            del self._waiting[lane]

    async def _prepare(self, name: str, command: WatchGroup) -> None:
        """ECS's tag and hook are as they should be; written only where they are not. A group that may not be written to
        is used as it is: without the hook its own scale-in does not wait for tasks."""
        found = await self._reader.require(name)
        for prepare in (partial(self._prepare_tag, name, found), partial(self._prepare_hook, name, command.hook)):
            try:
                await prepare()
            except AwsError as error:
                if not error.refused:
                    raise
                self._say_refused(name, error)

    async def _prepare_tag(self, name: str, found: Mapping[str, Any]) -> None:
        if any(tag["Key"] == TAG for tag in found.get("Tags", ())):
            return
        tag = {
            "ResourceId": name,
            "ResourceType": "auto-scaling-group",
            "Key": TAG,
            "Value": "",
            "PropagateAtLaunch": True,
        }
        await self._aws.call("autoscaling", "create_or_update_tags", Tags=[tag])

    async def _prepare_hook(self, name: str, wanted: bool) -> None:
        if wanted != await self._reader.is_hooked(name):
            await self._set_hook(name, there=wanted)

    def _say_refused(self, name: str, error: AwsError) -> None:
        """Once for each reason: it is tried again at every look."""
        said = self._refusals.setdefault(name, set())
        if str(error) not in said:
            said.add(str(error))
            logger.warning("group %s is used without ECS's tag or lifecycle hook: %s", name, error)

    async def _set_hook(self, name: str, *, there: bool) -> None:
        self._reader.forget_hook(name)  # the answer may get lost
        if there:
            await self._aws.call(
                "autoscaling",
                "put_lifecycle_hook",
                AutoScalingGroupName=name,
                LifecycleHookName=HOOK,
                LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
                HeartbeatTimeout=HEARTBEAT_S,
                DefaultResult="CONTINUE",
            )
        else:
            await self._aws.call(
                "autoscaling", "delete_lifecycle_hook", AutoScalingGroupName=name, LifecycleHookName=HOOK
            )

    async def _set_size(self, name: str, command: SetGroupSize) -> None:
        await self._aws.call(
            "autoscaling",
            "set_desired_capacity",
            AutoScalingGroupName=name,
            DesiredCapacity=command.size,
            HonorCooldown=False,
        )

    async def _protect(self, name: str, command: ProtectMachines) -> None:
        for at in range(0, len(command.machines), BATCH):
            await self._aws.call(
                "autoscaling",
                "set_instance_protection",
                AutoScalingGroupName=name,
                InstanceIds=list(command.machines[at : at + BATCH]),
                ProtectedFromScaleIn=command.protected,
            )

    async def _end(self, name: str, command: EndMachines) -> None:
        """Only those that are not on their way out: the desired size is lowered once for each."""
        found = await self._reader.require(name)
        there = {i["InstanceId"] for i in found["Instances"] if not i["LifecycleState"].startswith(GOING)}
        for machine_id in command.machines:
            if machine_id in there:
                await self._aws.call(
                    "autoscaling",
                    "terminate_instance_in_auto_scaling_group",
                    InstanceId=machine_id,
                    ShouldDecrementDesiredCapacity=True,
                )

    async def _hold(self, name: str, command: HoldMachines) -> None:
        operation = "complete_lifecycle_action" if command.release else "record_lifecycle_action_heartbeat"
        more = {"LifecycleActionResult": "CONTINUE"} if command.release else {}
        for machine_id in command.machines:
            try:
                await self._aws.call(
                    "autoscaling",
                    operation,
                    AutoScalingGroupName=name,
                    LifecycleHookName=HOOK,
                    InstanceId=machine_id,
                    **more,
                )
            except AwsError as error:
                if error.code != "ValidationError":  # it no longer waits
                    raise


def name_of(group: str) -> str:
    """The name of a group by its ARN, or by its name."""
    return group.rpartition("autoScalingGroupName/")[2]


def _failure(command: GroupCommand, error: AwsError) -> GroupFailed:
    return GroupFailed(
        cause=f"{type(command).__name__} {command.group}",
        provider=command.provider,
        operation=type(command).__name__,
        code=error.code,
        message=error.message,
        refused=error.refused,
    )
