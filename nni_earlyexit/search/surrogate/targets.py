"""The targets that are predicted of a network, and the objectives that follow from them.

Costs are computed, never predicted. Of a trained network with exits, what is predicted is the accuracy that it reaches at
the cost of each of its exits; an exit's accuracy depends on few choices and is learned from every network that has it. Without
exits, or where one point is reported, that point is predicted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.domain import Domain, Sample
from nni_earlyexit.search.surrogate.features import SampleFeatures, exit_features, network_features
from nni_earlyexit.search.trials import Trial
from numpy.typing import NDArray

COMPUTED = {"full_macs": "macs", "params": "params", "activation_bytes": "activation_bytes"}
"""Metrics of the last exit that are known before training."""
AVERAGE = {"avg_macs": "macs", "latency_s": "latency_s"}
"""Metrics that are averages over the exits, by the shares of inputs that leave at each."""
STARTS = 3
"""Number of random networks from which the cheapest and the dearest ones are looked for."""

Array: TypeAlias = NDArray[np.floating]


class Targets(Protocol):
    """Targets that models learn from trials, and losses from their predictions. NaN stands for exits that a network lacks."""

    def features(self, samples: Sequence[Sample]) -> Array:
        """Features that each target may depend on (targets, samples, features)."""

    def learn(self, trials: Sequence[Trial]) -> Array:
        """The targets of trials (targets, trials)."""

    def points(self, samples: Sequence[Sample], predicted: Array) -> Array:
        """Losses (..., samples, points, objectives) of predictions (..., targets, samples)."""


def targets(objectives: Mapping[str, str], domain: Domain, whole_fronts: bool) -> Targets:
    """Accuracy at every exit where trials hold whole fronts of accuracy and a cost, else the objectives of one point."""
    averages = [name for name in objectives if name in AVERAGE]
    rest = [name for name in objectives if name not in (*averages, *computed(objectives, domain))]
    rising = rest == ["accuracy"] and objectives["accuracy"] == "max" and all(objectives[a] == "min" for a in averages)
    if whole_fronts and averages and rising and domain.costs is not None:
        return ExitTargets(objectives, domain)
    return PointTargets(objectives, domain)


def ends(objectives: Mapping[str, str], domain: Domain) -> list[Sample]:
    """The networks within the limits that cost least and most, by each objective that is a computed cost.

    An average is least at the first exit, and most at the last one.
    """
    ready = computed(objectives, domain)
    costs = [name for name in objectives if name in ready or (domain.costs is not None and name in AVERAGE)]
    starts = list(itertools.islice(_some(domain), STARTS)) if costs else []
    if not starts:
        return []
    return [
        min((_extreme(domain, start, name, sign) for start in starts), key=lambda end: end[0])[1]
        for name in costs
        for sign in (1, -1)
    ]


def computed(objectives: Mapping[str, str], domain: Domain) -> list[str]:
    """The objectives that are costs of the last exit, and known of every network of ``domain`` before training."""
    if domain.costs is None:
        return []
    # known of all or of none, so that one which breaks a rule tells it, too
    some = next(_some(domain), None) or next(_drawn(domain))
    costs = domain.costs(domain.canonical(some))
    return [name for name in objectives if name in COMPUTED and getattr(costs, COMPUTED[name]) is not None]


def _some(domain: Domain) -> Iterator[Sample]:
    """Random networks, the same for every seed, so that no state needs to hold what follows from them."""
    return (domain.canonical(sample) for sample in filter(domain.valid, _drawn(domain)))


def _drawn(domain: Domain) -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    return ({label: v[rng.integers(len(v))] for label, v in domain.choices.items()} for _ in range(1000))


def _extreme(domain: Domain, sample: Sample, name: str, sign: int) -> tuple[tuple[float, float], Sample]:
    """The network that costs least (``sign`` 1) or most (-1), an average at most its limit; before it, its excess and cost.

    Choices of a sample are changed one at a time until no change brings it nearer to the limits or, within them, to the end.
    """
    exit = 0 if sign > 0 and name in AVERAGE else -1

    def rank(sample: Sample) -> tuple[float, float]:
        assert domain.costs is not None
        cost = getattr(domain.costs(sample), (AVERAGE | COMPUTED)[name])[exit]
        return domain.excess(sample), sign * min(cost, domain.limits.get(name, np.inf))

    own, before = rank(sample), None
    while own != before:
        before = own
        for label, values in domain.choices.items():
            for value in values:
                other = {**sample, label: value}
                if value != sample[label] and domain.valid(other):
                    other = domain.canonical(other)
                    if (changed := rank(other)) < own:
                        sample, own = other, changed
    return own, sample


class ExitTargets:
    """The accuracy that a network reaches on average at the cost of each exit, or at the limit, a target per stage.

    How it rises from one exit to the next is learned as well: the mean of what trials showed, as shares of the way.
    """

    WAY = np.array([0.2, 0.4, 0.6, 0.8])
    """Shares of the way between the costs of two exits at which the rise is looked at."""
    LEAST_RISE = 0.02
    """Least rise in accuracy that tells something of its form."""

    def __init__(self, objectives: Mapping[str, str], domain: Domain) -> None:
        self._names = list(objectives)
        self._signs = _signs(objectives)
        self._choices, self._domain = SampleFeatures(domain), domain
        self._averages = [name for name in self._names if name in AVERAGE]
        self._rise = self.WAY

    def _costs(self, samples: Sequence[Sample]) -> list[ExitCosts]:
        assert self._domain.costs is not None
        return [self._domain.costs(sample) for sample in samples]

    def _spent(self, costs: ExitCosts, name: str) -> Array:
        """The most that an average cost is when an exit may be used (exits,): what it costs, or the limit."""
        own = np.asarray(getattr(costs, AVERAGE[name]), dtype=float)
        return np.minimum(own, self._domain.limits.get(name, np.inf))

    def features(self, samples: Sequence[Sample]) -> Array:
        """Features that each target may depend on (targets, samples, features)."""
        costs = self._costs(samples)
        own = [[exit_features(c, exit) for exit in range(len(c.macs))] for c in costs]
        at_stages = np.full((1 + _stages(costs[0])[-1], len(samples), len(own[0][0])), np.nan)
        for i, c in enumerate(costs):
            at_stages[_stages(c), i] = own[i]
        choices = self._choices(samples)
        return np.concatenate([np.broadcast_to(choices, (len(at_stages), *choices.shape)), at_stages], axis=2)

    def learn(self, trials: Sequence[Trial]) -> Array:
        """The targets of trials (targets, trials)."""
        costs = self._costs([trial.sample for trial in trials])
        accuracies = np.full((1 + _stages(costs[0])[-1], len(trials)), np.nan)
        rises = []
        for i, (trial, c) in enumerate(zip(trials, costs, strict=True)):
            points = np.array(trial.points) * self._signs
            accuracy = points[:, self._names.index("accuracy")]
            spent = points[:, self._names.index(self._averages[0])]
            exits = self._spent(c, self._averages[0])
            at_exits = _reached(accuracy, spent, exits)
            accuracies[_stages(c), i] = at_exits
            for first, rise in enumerate(np.diff(at_exits)):
                if rise >= self.LEAST_RISE:
                    on_the_way = exits[first] + self.WAY * (exits[first + 1] - exits[first])
                    rises.append((_reached(accuracy, spent, on_the_way) - at_exits[first]) / rise)
        self._rise = np.mean(rises, axis=0) if len(rises) > 2 else self.WAY
        return accuracies

    def points(self, samples: Sequence[Sample], predicted: Array) -> Array:
        """Losses (..., samples, points, objectives) of predictions (..., targets, samples)."""
        costs = self._costs(samples)
        stages = predicted.shape[-2]
        shape = (*predicted.shape[:-2], len(samples), stages + (stages - 1) * len(self.WAY))
        exits = {name: np.full((len(samples), stages), np.nan) for name in self._averages}
        for i, c in enumerate(costs):
            for name, of_exit in exits.items():
                of_exit[i, _stages(c)] = self._spent(c, name)
        columns = {name: self._with_ways(of_exit, self.WAY) for name, of_exit in exits.items()}
        # the front of a network never falls: what an early exit reaches, later ones reach by not being used
        absent = np.isnan(predicted)
        reached = np.maximum.accumulate(np.where(absent, -np.inf, np.minimum(predicted, 1)), axis=-2)
        reached = np.moveaxis(np.where(absent, np.nan, reached), -2, -1)
        columns["accuracy"] = self._with_ways(reached, self._rise)
        for name in COMPUTED:
            if name in self._names:
                columns[name] = np.array([getattr(c, COMPUTED[name])[-1] for c in costs], dtype=float)[:, None]
        points = np.stack([np.broadcast_to(columns[name], shape) for name in self._names], axis=-1) * self._signs
        return np.where(np.isnan(points).any(axis=-1, keepdims=True), np.inf, points)

    def _with_ways(self, at_stages: Array, share: Array) -> Array:
        """Values at stages (..., samples, stages), then those at shares of the way from the exit before each."""
        before = np.full(at_stages.shape, np.nan)
        for stage in range(1, at_stages.shape[-1]):
            earlier = at_stages[..., stage - 1]
            before[..., stage] = np.where(np.isnan(earlier), before[..., stage - 1], earlier)
        ways = before[..., 1:, None] + share * (at_stages - before)[..., 1:, None]
        return np.concatenate([at_stages, ways.reshape(*ways.shape[:-2], -1)], axis=-1)


class PointTargets:
    """The objectives of the reported point that are not known before training, a target each.

    An average cost is predicted as a share of the way, in logarithm, from the first exit's to the last one's.
    """

    def __init__(self, objectives: Mapping[str, str], domain: Domain) -> None:
        self._names = list(objectives)
        self._signs = _signs(objectives)
        self._choices, self._domain = SampleFeatures(domain), domain
        computable = domain.costs is not None
        self._computed = computed(objectives, domain)
        self._averages = [name for name in self._names if computable and name in AVERAGE]
        self._predicted = [name for name in self._names if name not in self._computed]

    def _costs(self, samples: Sequence[Sample]) -> list[ExitCosts]:
        return [] if self._domain.costs is None else [self._domain.costs(sample) for sample in samples]

    def features(self, samples: Sequence[Sample]) -> Array:
        """Features that each target may depend on (targets, samples, features)."""
        rows = self._choices(samples)
        if costs := self._costs(samples):
            rows = np.hstack([rows, [network_features(c) for c in costs]])
        return np.broadcast_to(rows, (len(self._predicted), *rows.shape))

    def learn(self, trials: Sequence[Trial]) -> Array:
        """The targets of trials (targets, trials)."""
        costs = self._costs([trial.sample for trial in trials])
        losses = np.array([trial.losses for trial in trials]) * self._signs
        values = losses.T[[self._names.index(name) for name in self._predicted]]
        for row, name in zip(values, self._predicted, strict=True):
            if name in self._averages:
                first, last = self._ends(costs, name)
                way = np.where(last > first, last - first, 1)
                row[:] = (np.log(np.maximum(row, 1e-300)) - first) / way
        return values

    def points(self, samples: Sequence[Sample], predicted: Array) -> Array:
        """Losses (..., samples, points, objectives) of predictions (..., targets, samples)."""
        costs = self._costs(samples)
        columns = {}
        for name in self._computed:
            own = np.array([getattr(c, COMPUTED[name])[-1] for c in costs], dtype=float)
            columns[name] = np.broadcast_to(own, (*predicted.shape[:-2], len(samples)))
        for i, name in enumerate(self._predicted):
            columns[name] = predicted[..., i, :]
            if name in self._averages:
                first, last = self._ends(costs, name)
                columns[name] = np.exp(first + np.clip(columns[name], 0, 1) * (last - first))
        points = np.stack([columns[name] for name in self._names], axis=-1) * self._signs
        return points[..., None, :]

    @staticmethod
    def _ends(costs: Sequence[ExitCosts], name: str) -> tuple[Array, Array]:
        """Logarithms of a cost at the first and at the last exit, each (samples,)."""
        ends = np.log(np.array([[getattr(c, AVERAGE[name])[i] for i in (0, -1)] for c in costs], dtype=float))
        return ends[:, 0], ends[:, 1]


def _signs(objectives: Mapping[str, str]) -> Array:
    return np.array([-1.0 if direction == "max" else 1.0 for direction in objectives.values()])


def _stages(costs: ExitCosts) -> Sequence[int]:
    return range(len(costs.macs)) if costs.stages is None else costs.stages


def _reached(accuracy: Array, spent: Array, budgets: Array) -> Array:
    """The best accuracy that is spent at most each of the budgets for, NaN where none is."""
    affordable = spent <= budgets[:, None] * (1 + 1e-6)
    best = np.where(affordable, accuracy, -np.inf).max(axis=1)
    return np.where(affordable.any(axis=1), best, np.nan)
