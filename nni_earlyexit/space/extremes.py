"""The cheapest and the dearest network of a space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from nni_earlyexit.nn.mutables import ABSENT, PRESENT


class Choosable(Protocol):
    """The part of a space that a walk through it needs."""

    @property
    def choices(self) -> Mapping[str, list[Any]]:
        """Every label with its values."""

    @property
    def optional_exits(self) -> list[str]:
        """The labels that say whether an exit is there."""

    def violation(self, sample: Mapping[str, Any]) -> str | None:
        """The rule that a sample breaks, if it breaks one."""

    def canonical(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """The one form that all samples of the same network share."""

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """A random valid sample."""


Number = TypeVar("Number", int, float)


def extreme(
    space: Choosable, cost: Callable[[Mapping[str, Any]], Sequence[Number]], *, exit: int, most: bool = False
) -> tuple[dict[str, Any], Number]:
    """A canonical sample with the least (or most) ``cost(sample)[exit]``, and that cost.

    One choice at a time is changed until nothing gets better, from samples with every single exit and with none. It is exact
    where the cost of a part does not depend on choices in other parts.
    """
    sign = -1 if most else 1
    optima = []
    for sample in _starts(space):
        best = sign * cost(sample)[exit]
        improved = True
        while improved:
            improved = False
            for label, values in space.choices.items():
                for value in values:
                    other = {**sample, label: value}
                    if value != sample[label] and space.violation(other) is None:
                        other_cost = sign * cost(other)[exit]
                        if other_cost < best:
                            sample, best, improved = other, other_cost, True
        optima.append((best, space.canonical(sample)))
    best, sample = min(optima, key=lambda pair: pair[0])
    return sample, sign * best


def _starts(space: Choosable) -> Iterator[dict[str, Any]]:
    """Valid samples with at most one optional exit, where there are any."""
    first = {label: values[0] for label, values in space.choices.items()}
    none = {**first, **dict.fromkeys(space.optional_exits, ABSENT)}
    starts = [none, *({**none, label: PRESENT} for label in space.optional_exits)]
    valid = [start for start in starts if space.violation(start) is None]
    yield from valid or [space.sample(np.random.default_rng(0))]
