"""Samples as numbers, for models of what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nni_earlyexit.ask_tell import Domain
from numpy.typing import NDArray


class Features:
    """Samples of a domain as rows: a column per value of a choice, one for an ordered choice, and what is known of costs.

    Costs are logarithms: of the MACs until the first and the last exit and, evenly spread, some in between.
    """

    EXITS = 4

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._columns = [
            (label, [float(v) for v in values] if domain.is_ordered(label) else [repr(v) for v in values])
            for label, values in domain.choices.items()
            if len(values) > 1
        ]

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.floating]:
        """Rows (samples, features); choices in [0, 1], costs as logarithms."""
        return np.array([[*self._choices(sample), *self._costs(sample)] for sample in samples])

    def _choices(self, sample: Mapping[str, Any]) -> list[float]:
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

    def _costs(self, sample: Mapping[str, Any]) -> list[float]:
        if self._domain.costs is None:
            return []
        costs = self._domain.costs(sample)
        macs = np.log2(np.array(costs.macs, dtype=float))
        spread = np.interp(np.linspace(0, 1, self.EXITS), np.linspace(0, 1, len(macs)), macs)
        params = [] if costs.params is None else [float(np.log2(costs.params[-1]))]
        return [*spread.tolist(), float(len(macs)), *params]
