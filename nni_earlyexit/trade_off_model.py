"""What a model predicts of a network, and what that means for the objectives.

Costs are computed, never predicted. Of a trained network with exits, what is predicted is where its trade-off runs between
its cheapest and its dearest exit: the accuracy at some average costs, evenly spread in logarithm between the exact cost of
the first exit and that of the last. Without exits, or where one point is reported, it is that point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from nni_earlyexit.ask_tell import Domain, Trial
from nni_earlyexit.exit_costs import ExitCosts
from numpy.typing import NDArray

PLACES = np.linspace(0, 1, 7)
"""Where, between the first exit's cost (0) and the last one's (1), accuracy is predicted."""

COMPUTED = {"full_macs": "macs", "params": "params", "activation_bytes": "activation_bytes"}
"""Metrics of the last exit that are known before training."""
AVERAGE = {"avg_macs": "macs", "latency_s": "latency_s"}
"""Metrics that are averages over the exits, by the shares of inputs that leave at each."""

Array: TypeAlias = NDArray[np.floating]


class Targets:
    """Trials as rows of numbers to predict, and predictions as points of the objectives.

    Parameters
    ----------
    objectives
        Metric names with directions.
    domain
        Of the samples; without ``costs``, every objective is predicted as it is.
    whole_fronts
        Whether trials hold their whole front.
    """

    def __init__(self, objectives: Mapping[str, str], domain: Domain, whole_fronts: bool) -> None:
        self._names = list(objectives)
        self._signs = np.array([-1.0 if direction == "max" else 1.0 for direction in objectives.values()])
        self._domain = domain
        known = domain.costs is not None
        self._computed = [name for name in self._names if known and name in COMPUTED]
        averages = [name for name in self._names if known and name in AVERAGE]
        others = [name for name in self._names if name not in (*self._computed, *averages)]
        self.along = whole_fronts and len(averages) > 0 and others == ["accuracy"]
        self._averages, self._others = averages, others

    def rows(self, trials: Sequence[Trial]) -> Array:
        """What is to be predicted (trials, targets)."""
        return np.array([self._row(trial) for trial in trials])

    def _row(self, trial: Trial) -> list[float]:
        values = np.array(trial.points if self.along else [trial.losses]) * self._signs
        columns = {name: values[:, i] for i, name in enumerate(self._names)}
        costs = self._domain.costs(trial.sample) if self._domain.costs is not None else None
        if self.along:
            assert costs is not None
            name = self._averages[0]
            budgets = _between(getattr(costs, AVERAGE[name]), PLACES) * (1 + 1e-9)
            affordable = columns[name] <= budgets[:, None]
            least = columns["accuracy"].min()
            return np.where(affordable, columns["accuracy"], least).max(axis=1).tolist()
        row = [float(columns[name][0]) for name in self._others]
        for name in self._averages:
            row.append(_place(getattr(costs, AVERAGE[name]), float(columns[name][0])))
        return row

    def points(self, samples: Sequence[Mapping[str, Any]], predicted: Array) -> Array:
        """Losses (..., samples, points, objectives) of predicted rows (..., samples, targets)."""
        costs = [self._domain.costs(sample) for sample in samples] if self._domain.costs is not None else None
        shape = (*predicted.shape[:-1], len(PLACES) if self.along else 1)
        columns: dict[str, Array] = {}
        for name in self._computed:
            own = np.array([getattr(c, COMPUTED[name])[-1] for c in costs or ()], dtype=float)
            columns[name] = np.broadcast_to(own[:, None], shape)
        if self.along:
            columns["accuracy"] = np.maximum.accumulate(predicted, axis=-1)
            for name in self._averages:
                own = np.array([_between(getattr(c, AVERAGE[name]), PLACES) for c in costs or ()])
                columns[name] = np.broadcast_to(own, shape)
        else:
            for i, name in enumerate(self._others):
                columns[name] = predicted[..., i : i + 1]
            for i, name in enumerate(self._averages, len(self._others)):
                columns[name] = self._averages_at(costs or [], name, predicted[..., i])[..., None]
        return np.stack([columns[name] for name in self._names], axis=-1) * self._signs

    def _averages_at(self, costs: Sequence[ExitCosts], name: str, places: Array) -> Array:
        ends = np.log(np.array([[getattr(c, AVERAGE[name])[i] for i in (0, -1)] for c in costs], dtype=float))
        return np.exp(ends[:, 0] + np.clip(places, 0, 1) * (ends[:, 1] - ends[:, 0]))


def _between(costs: Sequence[float], places: Array) -> Array:
    """Average costs at these places between the first and the last exit's."""
    first, last = np.log(costs[0]), np.log(costs[-1])
    return np.exp(first + places * (last - first))


def _place(costs: Sequence[float], average: float) -> float:
    """The inverse of :func:`_between` for one average cost."""
    first, last = np.log(costs[0]), np.log(costs[-1])
    return float((np.log(max(average, 1e-300)) - first) / (last - first)) if last > first else 0.0
