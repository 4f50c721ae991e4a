"""The best combinations of trained branches: at most one after each stage, and a cutoff for each.

The value of a combination at a price, ``score - price * cost`` under its best cutoffs, is found in milliseconds by the
coordinate ascent that the threshold optimizer screens sets of exits with. All combinations are valued where that takes
seconds; of more, one stage at a time is changed until nothing gets better, for each of many prices along the front.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from nni_earlyexit.thresholds import cutoff_search
from nni_earlyexit.thresholds.cutoff_problem import build_problem
from numpy.typing import NDArray

MAX_VALUED = 10_000
"""Combinations up to which all are valued."""
MAX_LOOKED_AT = 20_000
"""Combinations that are looked at for one that may be."""
ABSENT = -1
Combination: TypeAlias = tuple[int, ...]
"""The position of the chosen option of each stage; ``ABSENT`` where there is no exit."""


class Option(NamedTuple):
    """A branch that can follow a stage: confidence (inputs,) and score (inputs,) of its answers, and its cost alone."""

    confidence: NDArray[np.floating]
    score: NDArray[np.floating]
    cost: float


class Combinations:
    """The networks that options can make with one backbone.

    Parameters
    ----------
    options
        The options of each stage that an exit can follow.
    last_score
        Score (inputs,) of the backbone's own answers.
    backbone
        Cost of the backbone until the end of each of these stages, and at last of all of it.
    allowed
        ``True`` for a combination that may be; all may by default.
    """

    def __init__(
        self,
        options: Sequence[Sequence[Option]],
        last_score: NDArray[np.floating],
        backbone: Sequence[float],
        allowed: Callable[[Combination], bool] = lambda combination: True,
    ) -> None:
        self._options, self._last, self._backbone = options, last_score, np.asarray(backbone, dtype=float)
        self._allowed = allowed
        self._ones = np.ones(len(last_score))
        every = [own.score for stage in options for own in stage]
        self._prices = cutoff_search.prices_along_front(np.stack([*every, last_score]), float(self._backbone[-1]))
        self._values: dict[Combination, NDArray[np.floating]] = {}

    def __len__(self) -> int:
        return math.prod(len(stage) + 1 for stage in self._options)

    @property
    def valued(self) -> int:
        """Number of combinations that were valued so far."""
        return len(self._values)

    def values(self, combination: Combination) -> NDArray[np.floating]:
        """The value of ``combination`` at each price; minus infinity for one that may not be."""
        if combination not in self._values:
            self._values[combination] = self._computed(combination)
        return self._values[combination]

    def _computed(self, combination: Combination) -> NDArray[np.floating]:
        if not self._allowed(combination):
            return np.full(len(self._prices), -np.inf)
        stages = [stage for stage, position in enumerate(combination) if position != ABSENT]
        chosen = [self._options[stage][combination[stage]] for stage in stages]
        if not chosen:
            return np.asarray(self._last.mean() - self._prices * self._backbone[-1])
        confidences = np.stack([own.confidence for own in chosen], axis=1)
        scores = np.stack([*(own.score for own in chosen), self._last], axis=1)
        segments = np.diff(self._backbone[[*stages, -1]], prepend=0.0)
        branches = np.array([*(own.cost for own in chosen), 0.0])
        # all of them run: the combination without an exit is another one
        problem, _ = build_problem(confidences, scores, self._ones, segments + branches, np.zeros_like(branches))
        return cutoff_search.screen(problem, self._prices)

    def every(self) -> list[Combination]:
        """All combinations that may be."""
        whole = itertools.product(*(range(ABSENT, len(stage)) for stage in self._options))
        return [combination for combination in whole if self._allowed(combination)]

    def best(self) -> list[Combination]:
        """The combinations that are best at some price, as far as they are looked at, the cheapest first, if any may be."""
        if len(self) <= MAX_VALUED:
            every = self.every()
            winners = [self._best_of(every, price) for price in range(len(self._prices))] if every else []
        else:
            winners = self._ascents()
        return list(dict.fromkeys(winners[::-1]))

    def _ascents(self) -> list[Combination]:
        """The local optimum at each price, each from the one at the next higher price."""
        start = self._first_allowed()
        if start is None:
            return []
        optima = []
        for price in reversed(range(len(self._prices))):
            start = self._ascent(start, price)
            optima.append(start)
        return optima[::-1]

    def _first_allowed(self) -> Combination | None:
        """A combination that may be: the one without exits, or of those with the fewest the first; ``None`` if none is seen."""
        firsts = itertools.product(*(range(ABSENT, min(1, len(stage))) for stage in self._options))
        every = itertools.product(*(range(ABSENT, len(stage)) for stage in self._options))
        looked_at = [
            *sorted(firsts, key=lambda c: sum(p != ABSENT for p in c)),
            *itertools.islice(every, MAX_LOOKED_AT),
        ]
        return next((c for c in looked_at if self._allowed(c)), None)

    def _ascent(self, start: Combination, price: int) -> Combination:
        best = start
        while True:
            before = best
            for stage, options in enumerate(self._options):
                others = [(*best[:stage], position, *best[stage + 1 :]) for position in range(ABSENT, len(options))]
                best = self._best_of(others, price)
            if best == before:
                return best

    def _best_of(self, combinations: Sequence[Combination], price: int) -> Combination:
        return max(combinations, key=lambda combination: float(self.values(combination)[price]))
