"""Elastic Load Balancing: registers and deregisters what it is told, and reports how targets are.

One sequence of calls a group at a time, different groups side by side; a newer command for a group takes the place of
one that waits, because each says all that is to be done. What comes of it is posted as an event to the cluster that
asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from awsorch.adapters.aws import AwsCalls, AwsError, Turns
from awsorch.adapters.groups import Address, group_of
from awsorch.core.commands import SyncTargets
from awsorch.core.events import Event
from awsorch.core.events_services import TargetsFailed, TargetsSeen
from awsorch.engine.ports import GroupFacts, LoadBalancerFailure

logger = logging.getLogger(__name__)

Post = Callable[[str, Event], None]
#: Targets in one call. ELB names no limit but that of a request's size.
BATCH = 100
#: What a target group is does not change; whether anything listens for it may. Seconds.
FACTS_LIFE_S = 5.0
_GONE = frozenset({"TargetGroupNotFound", "TargetGroupNotFoundException", "LoadBalancerNotFound"})
#: Refusals of a whole call because of some of its targets.
_BAD_TARGETS = frozenset({"InvalidTarget", "InvalidTargetException", "InvalidInstance"})


class ElasticLoadBalancing:
    """Carries SyncTargets out, and describes target groups for those who check what a request names."""

    def __init__(self, aws: AwsCalls, post: Post) -> None:
        self._aws = aws
        self._post = post
        self._turns = Turns()
        self._waiting: dict[tuple[str, str], SyncTargets | None] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._facts: dict[str, tuple[float, GroupFacts | None]] = {}

    def sync_targets(self, cluster: str, command: SyncTargets) -> None:
        """Have a command carried out, after the one for its group that is under way and in place of one that waits."""
        lane = (cluster, command.group)
        idle = lane not in self._waiting
        self._waiting[lane] = command
        if idle:
            task = asyncio.get_running_loop().create_task(self._serve(lane), name=f"targets {command.group}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Stop calling. What was under way may or may not have been done."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, lane: tuple[str, str]) -> None:
        """Carry out the commands of one group until none waits."""
        cluster, group = lane
        try:
            while self._waiting[lane] is not None:
                try:
                    async with self._turns.one():
                        # Taken only when its turn has come: it is the newest then.
                        command, self._waiting[lane] = self._waiting[lane], None
                        assert command is not None
                        await self._carry_out(cluster, command)
                except AwsError as error:
                    logger.debug("%s: %s", group, error)
                except Exception:
                    logger.exception("%s: targets were not brought up to date; a planner will ask again", group)
        finally:
            del self._waiting[lane]

    async def _carry_out(self, cluster: str, command: SyncTargets) -> None:
        """Register, deregister, look. Raises AwsError, after it was reported, where nothing more can be done now."""
        group = group_of(self._aws, command.group)
        done: dict[str, frozenset[Address]] = {}
        refused: dict[str, AwsError] = {}
        action = "register"
        try:
            done[action] = await _each(group.register, command.register, refused, action)
            action = "deregister"
            done[action] = await _each(group.deregister, command.deregister, refused, action)
            action = "describe"
            targets = await group.describe()
        except AwsError as error:
            self._post(cluster, _failure(command.group, action, error))
            raise
        seen = TargetsSeen(
            cause=f"DescribeTargetHealth {command.group}",
            group=command.group,
            revision=command.revision,
            targets=targets,
            registered=done["register"],
            deregistered=done["deregister"],
        )
        self._post(cluster, seen)
        for refused_action, refusal in refused.items():
            self._post(cluster, _failure(command.group, refused_action, refusal))

    # --- target groups, for checks -----------------------------------------------------------------------------------

    async def describe_groups(self, arns: Sequence[str]) -> Mapping[str, GroupFacts]:
        """Those of the target groups that exist, by ARN; a few seconds old at most. Raises LoadBalancerFailure."""
        now = asyncio.get_running_loop().time()
        self._facts = {arn: known for arn, known in self._facts.items() if now < known[0] + FACTS_LIFE_S}
        for arn in arns:
            if arn not in self._facts:
                # Asked one by one: one that does not exist makes ELB refuse all of them.
                self._facts[arn] = (now, await self._ask(arn))
        found = ((arn, self._facts[arn][1]) for arn in arns)
        return {arn: facts for arn, facts in found if facts is not None}

    async def _ask(self, arn: str) -> GroupFacts | None:
        try:
            async with self._turns.one():
                answer = await self._aws.call("elbv2", "describe_target_groups", TargetGroupArns=[arn])
        except AwsError as error:
            # An ARN of another shape is refused as invalid rather than as unknown.
            if error.code in _GONE or error.code == "ValidationError":
                return None
            raise LoadBalancerFailure(error.code, error.message) from error
        for group in answer["TargetGroups"]:
            return GroupFacts(
                arn=arn,
                target_type=group.get("TargetType", "instance"),
                port=group.get("Port"),
                protocol=group.get("Protocol"),
                load_balancer_arns=tuple(group.get("LoadBalancerArns", ())),
            )
        return None


async def _each(
    act: Callable[[Sequence[Address]], Awaitable[None]],
    targets: Iterable[Address],
    refused: dict[str, AwsError],
    action: str,
) -> frozenset[Address]:
    """Act on targets in batches; those for which that was done. A batch that is refused because of some of its targets
    is halved until they are alone, so that they keep no other out. What stays refused is noted in ``refused``.

    Raises AwsError where asking for the rest would be in vain: throttled, gone, or no answer at all.
    """
    rest = list(targets)
    batches = [rest[at : at + BATCH] for at in range(0, len(rest), BATCH)]
    done: set[Address] = set()
    while batches:
        batch = batches.pop()
        try:
            await act(batch)
            done.update(batch)
        except AwsError as error:
            if not error.refused or error.code in _GONE:
                raise
            bad = error.code in _BAD_TARGETS
            if bad and len(batch) > 1:
                batches += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            elif bad and action == "deregister":
                # It is not there, so it need not be taken out; the look that follows says so.
                done.update(batch)
            else:
                refused.setdefault(action, error)
    return frozenset(done)


def _failure(group: str, action: str, error: AwsError) -> TargetsFailed:
    return TargetsFailed(
        cause=f"{action} {group}",
        group=group,
        action=action,
        code=error.code,
        message=error.message,
        gone=error.code in _GONE,
        throttled=error.is_throttled,
    )
