"""The stacks of a local cloud, put together from their parts, in the controller's process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from awsorch.cfn.ecs import EcsProvider
from awsorch.local.lambda_runner import LambdaRunner
from awsorch.local.stacks.calls import StackCalls
from awsorch.local.stacks.change_sets import ChangeSets
from awsorch.local.stacks.clients import AwsClients
from awsorch.local.stacks.custom import CustomResources
from awsorch.local.stacks.engine import StackEngine
from awsorch.local.stacks.functions import FunctionCode, FunctionResources, StackFunctions
from awsorch.local.stacks.inert import InertProvider
from awsorch.local.stacks.kinds.tables import KINDS
from awsorch.local.stacks.kinds.wire import WireProvider
from awsorch.local.stacks.letters_door import LettersDoor
from awsorch.local.stacks.macros import MacroResources, StackMacros
from awsorch.local.stacks.mailbox import Mailbox
from awsorch.local.stacks.nested import NestedStacks
from awsorch.local.stacks.operations import StackOperations
from awsorch.local.stacks.preparation import Preparation
from awsorch.local.stacks.provided import Provided
from awsorch.local.stacks.readings import Readings
from awsorch.local.stacks.schemas import Schemas
from awsorch.local.stacks.signals import WaitConditions
from awsorch.local.stacks.store import StackStore
from awsorch.local.stacks.surroundings import Surveyor

_HOLD_SECONDS = 20.0
"""The AWS CLI looks every 30 seconds, so an answer that waits for a short operation to end saves it that; clients give
a call up after 60."""


class LocalStacks:
    """`calls` is for the door. `start`, when the door answers, then `close`, once each."""

    def __init__(
        self,
        *,
        folder: Path,
        region: str,
        account_id: str,
        clients: AwsClients,
        inert: Iterable[str] = (),
        door: str = "",
    ) -> None:
        """`inert` are types for which nothing is made; `door` is where containers find the door, and whoever else is
        to answer. Raises OSError where what is kept can't be read."""
        self._clients = clients
        self._store = StackStore(folder / "stacks.db")
        schemas = Schemas()
        ecs = EcsProvider(clients)
        wire = WireProvider(clients, KINDS, schemas, region=region, account_id=account_id)
        code = FunctionCode(folder / "functions")
        self._functions = StackFunctions(clients, code, LambdaRunner(clients.environment()))
        self._mailbox = Mailbox(folder / "letters.db", time.time)
        self.letters = LettersDoor(self._mailbox)
        doors = (door or clients.url, clients.url)
        custom = CustomResources(clients, self._mailbox, self._functions, time.time, doors=doors)
        waits = WaitConditions(self._mailbox, time.time, doors[0])
        functions = FunctionResources(wire, clients, code)
        macros = MacroResources(self._store, schemas)
        inert_types = InertProvider(inert, schemas)
        providers = Provided((inert_types, wire, ecs, NestedStacks(clients), functions, custom, waits, macros))
        surveyor = Surveyor(self._store, clients, region, account_id)
        self._engine = StackEngine(
            store=self._store,
            providers=providers,
            calls=clients,
            surveyor=surveyor,
            mailbox=self._mailbox,
            clock=time.time,
        )
        preparation = Preparation(clients, schemas, providers, region=region, account_id=account_id)
        preparation.macros = StackMacros(self._store, self._functions)
        stacks = StackOperations(self._engine, preparation, time.time, _HOLD_SECONDS)
        self.calls = StackCalls(
            region=region,
            stacks=stacks,
            change_sets=ChangeSets(self._engine, stacks, preparation, time.time),
            readings=Readings(self._engine, preparation),
        )

    def start(self) -> None:
        """Carry on with what was under way."""
        self._engine.start()

    async def close(self) -> None:
        """Stop where it stands."""
        await self._engine.close()
        await self._functions.close()
        self._mailbox.close()
        await self._clients.close()
        self._store.close()
