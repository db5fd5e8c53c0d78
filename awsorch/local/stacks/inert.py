"""Types that stacks may have and for which nothing is made, because the user says so. Implements Provider."""

from __future__ import annotations

from collections.abc import Iterable

from awsorch.cfn.contract import Action, Progress, Properties, Request, done
from awsorch.local.stacks.schemas import Schemas


class InertProvider:
    """Ref gives a name, and so does GetAtt for whatever attribute the type's schema has."""

    def __init__(self, types: Iterable[str], schemas: Schemas) -> None:
        self._types = frozenset(types)
        self._schemas = schemas

    def types(self) -> frozenset[str]:
        return self._types

    def replaced_by(self, type: str, previous: Properties, model: Properties) -> frozenset[str]:
        return self._schemas.replaced_by(type, previous, model)

    async def step(self, request: Request) -> Progress:
        id = request.physical_id if request.action is not Action.CREATE else request.name()
        return done(id, **dict.fromkeys(self._schemas.attributes(request.type), id))
