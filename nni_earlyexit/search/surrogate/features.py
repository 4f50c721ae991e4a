"""Samples as numbers, for models of their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.domain import Domain
from numpy.typing import NDArray


class SampleFeatures:
    """Samples of a domain as rows: a column per value of a choice, one for an ordered choice or one of two values."""

    def __init__(self, domain: Domain) -> None:
        self._columns = [
            (label, [float(v) for v in values] if domain.is_ordered(label) else [repr(v) for v in values])
            for label, values in domain.choices.items()
            if len(values) > 1
        ]

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.floating]:
        """Rows (samples, features) of numbers in [0, 1]."""
        return np.array([self._row(sample) for sample in samples])

    def _row(self, sample: Mapping[str, Any]) -> list[float]:
        row: list[float] = []
        for label, values in self._columns:
            if isinstance(values[0], float):
                least, most = min(values), max(values)
                row.append((float(sample[label]) - least) / (most - least))
            elif len(values) == 2:
                row.append(float(repr(sample[label]) == values[1]))
            else:
                own = repr(sample[label])
                row.extend(float(own == value) for value in values)
        return row


SPREAD = 4
"""Number of exits, evenly spread, whose costs describe a network."""


def network_features(costs: ExitCosts) -> list[float]:
    """Logarithms of the MACs until the first and the last exit and some in between, number of exits, parameters."""
    macs = np.log2(np.array(costs.macs, dtype=float))
    spread = np.interp(np.linspace(0, 1, SPREAD), np.linspace(0, 1, len(macs)), macs)
    params = [] if costs.params is None else [float(np.log2(costs.params[-1]))]
    return [*spread.tolist(), float(len(macs)), *params]


def exit_features(costs: ExitCosts, exit: int) -> list[float]:
    """Logarithms of the MACs, and the parameters, that an input has met when it leaves at one of the exits."""
    params = [] if costs.params is None else [float(np.log2(costs.params[exit]))]
    return [float(np.log2(costs.macs[exit])), *params]
