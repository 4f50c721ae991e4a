"""A space as a strategy sees it: choices, canonical form, and what is known before training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nni_earlyexit.search.costs import ExitCosts

Sample = dict[str, Any]


@dataclass(frozen=True)
class Domain:
    """A space as far as a strategy needs to know it.

    Parameters
    ----------
    choices
        Every label with its values. A choice of numbers is an ordered one.
    canonical
        The one form that all samples of the same network share.
    excess
        Amount by which a sample is known to miss the limits before it is tried; 0 when it may meet them.
    valid
        ``True`` if a sample keeps the space's constraints; only such samples are given to ``canonical`` and ``excess``.
    costs
        Costs of a sample that are known before it is tried, if any are.
    name
        Name and version of the space.
    size
        Number of distinct networks, if it is known.
    limits
        The most that average metrics may be, by their names: no trial reports a point beyond.
    """

    choices: Mapping[str, list[Any]]
    canonical: Callable[[Mapping[str, Any]], Sample] = dict
    excess: Callable[[Mapping[str, Any]], float] = lambda sample: 0.0
    valid: Callable[[Mapping[str, Any]], bool] = lambda sample: True
    costs: Callable[[Mapping[str, Any]], ExitCosts] | None = None
    name: str = ""
    size: int | None = None
    limits: Mapping[str, float] = field(default_factory=dict)

    def check(self, sample: Mapping[str, Any]) -> None:
        """``ValueError`` that names label and value unless ``sample`` has a possible value for every label, and no other."""
        for label, values in self.choices.items():
            if label not in sample:
                raise ValueError(f"sample: {label!r} is missing")
            if sample[label] not in values:
                possible = ", ".join(map(repr, values))
                raise ValueError(f"sample: {label}={sample[label]!r} is not possible; it can be {possible}")
        for label in sample:
            if label not in self.choices:
                raise ValueError(f"sample: {label!r} is not a label of the space")

    def is_ordered(self, label: str) -> bool:
        """``True`` if the values of a choice have an order, so that near ones are alike: they are numbers."""
        return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in self.choices[label])


def key(sample: Mapping[str, Any]) -> str:
    """A canonical sample as one string."""
    return json.dumps(sample, sort_keys=True)
