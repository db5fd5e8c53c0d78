"""Which provider makes which type; every `Custom::…` is a custom resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from awsorch.cfn.contract import Provider
from awsorch.local.stacks.custom import PREFIX, TYPE


class Provided(Mapping[str, Provider]):
    """Type to provider; of two that have a type the later one stands."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers = {type: provider for provider in providers for type in provider.types()}

    def __getitem__(self, type: str) -> Provider:
        return self._providers[TYPE if type.startswith(PREFIX) and type not in self._providers else type]

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __len__(self) -> int:
        return len(self._providers)
