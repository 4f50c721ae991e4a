"""Ask-and-tell: the interface of every strategy.

A strategy proposes samples and is told what they gave. It knows neither NNI nor networks: the same object serves NNI's
tuner, NNI's ``NasExperiment``, a loop and a test. Nothing waits: any number of samples may be out at once.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from nni_earlyexit import objectives as known

Sample = dict[str, Any]


class Exhausted(Exception):
    """No sample is left to propose: all that may meet the limits have been asked for."""


@dataclass(frozen=True)
class Domain:
    """What a strategy needs to know of a space.

    Parameters
    ----------
    choices
        Every label with its values.
    canonical
        The one form that all samples of the same network share.
    excess
        By how much a sample is known to miss the limits before it is tried; 0 when it may meet them.
    valid
        Whether a sample keeps the space's constraints; ``canonical`` and ``excess`` are only asked of those that do.
    """

    choices: Mapping[str, list[Any]]
    canonical: Callable[[Mapping[str, Any]], Sample] = dict
    excess: Callable[[Mapping[str, Any]], float] = lambda sample: 0.0
    valid: Callable[[Mapping[str, Any]], bool] = lambda sample: True


@dataclass(frozen=True)
class Trial:
    """A sample with its ``losses`` (smaller is better) and ``excess`` over the limits; ``losses`` is ``None`` if it failed."""

    sample: Sample
    losses: tuple[float, ...] | None
    excess: float


class AskTell(ABC):
    """Base class of the strategies: no network is proposed twice, and none that cannot meet the limits.

    Parameters
    ----------
    objectives
        Metric names with ``"max"`` or ``"min"``; accuracy up and average MACs down by default.
    seed
        Fixes every random decision.
    """

    TRIES = 200
    """Random proposals before a network is looked for step by step."""
    RESTARTS, LEVEL_STEPS = 20, 30
    """How often such a walk begins anew, and how many steps of it may lead nowhere in a row."""

    def __init__(self, objectives: Mapping[str, str] | None = None, seed: int = 0) -> None:
        self.objectives = known.check(known.DEFAULT if objectives is None else objectives)
        self.seed = seed

    def start(self, domain: Domain) -> None:
        """Begin to explore ``domain``; everything known is forgotten."""
        self.domain = domain
        self.rng = np.random.default_rng(self.seed)
        self.trials: dict[str, Trial] = {}
        self.pending: dict[str, Sample] = {}

    def go_on(self) -> None:
        """Draw other random numbers than from the start, after results of an earlier run were told.

        Otherwise the first proposals of that run would come again, among them those that it was interrupted in.
        """
        self.rng = np.random.default_rng((self.seed, len(self.trials)))

    def ask(self) -> Sample:
        """A sample that was never proposed before, in canonical form.

        Raises :class:`Exhausted` when there is none.
        """
        for _ in range(self.TRIES):
            proposed = self.propose()
            if not self.domain.valid(proposed):
                continue
            sample = self.domain.canonical(proposed)
            if self._is_new(sample) and self.domain.excess(sample) <= 0:
                break
        else:
            sample = self._search_nearby()
        self.pending[key(sample)] = sample
        return dict(sample)

    def tell(self, sample: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> None:
        """Take in what ``sample`` gave; ``None`` when it failed. It need not have been asked for.

        ``metrics`` holds the objectives and, if the network misses a limit, ``excess`` > 0.
        """
        canonical = self.domain.canonical(sample)
        if metrics is None:
            trial = Trial(canonical, None, math.inf)
        else:
            missing = [name for name in self.objectives if name not in metrics]
            if missing:
                raise ValueError(f"metrics: {missing[0]!r} is missing; the objectives are {', '.join(self.objectives)}")
            values = known.losses(metrics, self.objectives)
            if not all(map(math.isfinite, values)):
                trial = Trial(canonical, None, math.inf)
            else:
                trial = Trial(canonical, tuple(values), float(metrics.get("excess", 0)))
        self.pending.pop(key(canonical), None)
        self.trials[key(canonical)] = trial

    def front(self) -> list[Trial]:
        """The trials within the limits that no other one beats in every objective."""
        within = [trial for trial in self.trials.values() if trial.losses is not None and trial.excess <= 0]
        if not within:
            return []
        from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

        losses = np.array([trial.losses for trial in within])
        return [within[i] for i in NonDominatedSorting().do(losses, only_non_dominated_front=True)]

    @abstractmethod
    def propose(self) -> Sample:
        """Any sample; :meth:`ask` asks again when it is known or misses a limit."""

    def random_sample(self) -> Sample:
        """Every choice drawn uniformly."""
        return {label: values[self.rng.integers(len(values))] for label, values in self.domain.choices.items()}

    def _valid_sample(self) -> Sample:
        """Proposed, or else drawn until the space's constraints are kept."""
        for draw in (self.propose, *[self.random_sample] * 10_000):
            sample = draw()
            if self.domain.valid(sample):
                return sample
        raise Exhausted("none of 10,000 random samples keeps the space's constraints")

    def _is_new(self, sample: Sample) -> bool:
        return key(sample) not in self.trials and key(sample) not in self.pending

    def _search_nearby(self) -> Sample:
        """When proposals keep being known or over the limits: walk from them, one choice at a time, to one that is neither.

        Downhill in excess first, then breadth-first among what meets the limits, so that a small space is used up whole.
        """
        for _ in range(self.RESTARTS):
            sample = self._downhill(self.domain.canonical(self._valid_sample()))
            if self.domain.excess(sample) <= 0:
                break
        seen = {key(sample)}
        frontier = [sample]
        while frontier:
            following = []
            for candidate in frontier:
                if self.domain.excess(candidate) > 0:
                    continue
                if self._is_new(candidate):
                    return candidate
                for neighbour in self._neighbours(candidate):
                    if key(neighbour) not in seen:
                        seen.add(key(neighbour))
                        following.append(neighbour)
            frontier = following
        raise Exhausted("every network that may meet the limits has been proposed")

    def _downhill(self, sample: Sample) -> Sample:
        """A sample within the limits, or where no single change brings it nearer to them.

        Changes that bring it neither nearer nor farther are made too, a few in a row: of a cost that is a maximum, all
        parts that reach it have to change.
        """
        excess = self.domain.excess(sample)
        level = 0
        while excess > 0 and level < self.LEVEL_STEPS:
            neighbours = self._neighbours(sample)
            if not neighbours:
                break
            better = min(neighbours, key=self.domain.excess)  # the first of equals, and their order is random
            changed = self.domain.excess(better)
            if changed > excess:
                break
            level = level + 1 if changed == excess else 0
            sample, excess = better, changed
        return sample

    def _neighbours(self, sample: Sample) -> list[Sample]:
        """Canonical samples that differ in one choice, in random order."""
        found = [
            self.domain.canonical(other)
            for label, values in self.domain.choices.items()
            for value in values
            if value != sample[label] and self.domain.valid(other := {**sample, label: value})
        ]
        return [found[i] for i in self.rng.permutation(len(found))]


def key(sample: Mapping[str, Any]) -> str:
    """A canonical sample as one string."""
    return json.dumps(sample, sort_keys=True)
