"""What users do to task definitions while services use them: deregister and delete what is just being rolled out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from awsorch.core.arn import Scope
from awsorch.core.errors import Refusal
from awsorch.core.events import Event
from awsorch.core.events_registry import DeleteTaskDefinitions, DeregisterTaskDefinition, RegisterTaskDefinition
from awsorch.core.services.deployments import primary_of
from awsorch.core.state import ClusterState
from awsorch.engine.partition import Unavailable
from tests.sim.network import Unreachable
from tests.support.builders import ACCOUNT
from tests.support.world import World

_SCOPE = Scope(partition="aws", region="us-east-1", account=ACCOUNT)


class DefinitionChaos:
    """``acts`` are (weight, act). ``client`` has a request made that nobody waits for."""

    def __init__(self, world: World, client: Callable[[Coroutine[Any, Any, Any]], None]) -> None:
        self._world = world
        self._client = client
        self.acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [(4, self.retire)]

    async def retire(self) -> None:
        """Deregister and delete a task definition that a service is rolling out, or would turn back to."""
        door = self._world.door
        found: list[str] = []
        if door is not None:
            with suppress(Unreachable):
                found = await door.read(rolled_out)
        if found:
            self._client(self._retire(self._world.rng.choice(found)))

    async def _retire(self, key: str) -> None:
        family, _, number = key.rpartition(":")
        revision = int(number)
        while await self._tell(lambda registry: _last(registry, family)) < revision:
            document = {"family": family, "containerDefinitions": [{"name": "app", "image": "busybox"}]}
            await self._submit(RegisterTaskDefinition(document=document, registered_by="user", scope=_SCOPE))
        with suppress(Refusal):  # somebody else was faster
            await self._submit(DeregisterTaskDefinition(family=family, revision=revision))
        await self._submit(DeleteTaskDefinitions(keys=(key,)))
        self._world.promises.services.retired.add(key)
        self._world.say(f"task definition {key} is deleted")

    async def _submit(self, event: Event) -> Any:
        return await self._tell(lambda registry: registry.submit(event))

    async def _tell(self, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        """What the registry answers, asked until it does. Raises Refusal."""
        while True:
            controller = self._world.controller
            try:
                if controller is not None:
                    return await ask(controller.registry)
            except Unavailable:
                pass
            await asyncio.sleep(self._world.rng.uniform(0.5, 2.0))


async def _last(registry: Any, family: str) -> int:
    known = await registry.read(lambda state: state.families.get(family))
    return known.last_revision if known is not None else 0


def rolled_out(state: ClusterState) -> list[str]:
    """Keys of the definitions that services go to, or could go back to, while they are on their way."""
    moving = [
        service
        for service in state.services.values()
        if service.status == "ACTIVE" and primary_of(state, service).rollout_state == "IN_PROGRESS"
    ]
    numbers = [
        (service.name, number)
        for service in moving
        for number in (primary_of(state, service).revision, service.stable_revision)
        if number is not None
    ]
    return [state.service_revisions[f"{name}/{number}"].definition for name, number in numbers]
