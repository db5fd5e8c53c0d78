"""Which capacity provider each task goes to: base first, then by weight, task by task.

Source: ECS developer guide, "Amazon ECS capacity providers", capacity provider strategy considerations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from awsorch.core.model import StrategyItem


def split(strategy: Sequence[StrategyItem], there: Mapping[str, int], count: int) -> list[str]:
    """The provider of each of ``count`` tasks, where ``there`` says how many of its tasks each has already.

    The first ``base`` tasks go to the provider with a base; the others so that what is beyond the base comes nearest to
    the weights. Providers without weight get their base only.
    """
    have = Counter(there)
    return [_take(strategy, have) for _ in range(count)]


def surplus(strategy: Sequence[StrategyItem], there: Mapping[str, int]) -> str | None:
    """The provider that has most beyond its share, from which a task should go first; None where nothing tells."""
    present = [item for item in strategy if there.get(item.provider)]
    if len(present) < 2:
        return None
    return max(present, key=lambda item: (_beyond(item, there), item.weight == 0)).provider


def _take(strategy: Sequence[StrategyItem], have: Counter[str]) -> str:
    chosen = next((item for item in strategy if have[item.provider] < item.base), None)
    if chosen is None:
        weighted = [item for item in strategy if item.weight]
        # After this one more task: the least share of all, so that the ratio is approached task by task.
        chosen = min(weighted, key=lambda item: (have[item.provider] - item.base + 1) / item.weight)
    have[chosen.provider] += 1
    return chosen.provider


def _beyond(item: StrategyItem, there: Mapping[str, int]) -> float:
    above = there[item.provider] - item.base
    if above <= 0:
        return -1.0
    return above / item.weight if item.weight else float("inf")
