"""AWS as adapters call it, in memory, which fails when it is told to. What there is in it others say."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from awsorch.adapters.aws import AwsError

LOST = "ReadTimeoutError"


class Unreliable:
    """Calls go to the methods ``_<operation>``, which get the parameters and answer as botocore would.

    Knobs: ``fault(operation)`` answers what befalls a call before it is carried out (an AwsError to raise, or None);
    ``loses(operation)`` whether the answer is lost after it was; ``delay(operation)`` how long it takes. ``calls`` are
    the operations asked for, with their parameters.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.obey()

    def obey(self) -> None:
        """Nothing goes wrong from here on."""
        self.fault: Callable[[str], AwsError | None] = lambda operation: None
        self.loses: Callable[[str], bool] = lambda operation: False
        self.delay: Callable[[str], float] = lambda operation: 0.0

    async def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """One call, as ``awsorch.adapters.aws.Aws`` makes it."""
        self.calls.append((operation, parameters))
        wait = self.delay(operation)
        await asyncio.sleep(wait / 2)
        error = self.fault(operation)
        if error is not None:
            raise error
        answer = getattr(self, f"_{operation}")(parameters)
        if inspect.isawaitable(answer):
            answer = await answer
        await asyncio.sleep(wait / 2)
        if self.loses(operation):
            raise AwsError(LOST, "Read timeout")
        found: Mapping[str, Any] = answer
        return found

    def called(self, operation: str) -> list[Mapping[str, Any]]:
        """The parameters of every call of an operation."""
        return [parameters for name, parameters in self.calls if name == operation]
