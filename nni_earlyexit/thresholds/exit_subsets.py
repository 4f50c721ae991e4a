"""Confidences that depend on which exits are kept, and the front over all sets of them.

A measure of one exit's logits is the same whichever other exits are kept: one search finds cutoffs and kept exits
together. Measures that look at the kept exits so far (patience, learned) are searched once per set of kept exits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
from nni_earlyexit.thresholds import confidence as measures
from nni_earlyexit.thresholds import cutoff_search
from nni_earlyexit.thresholds import learned_confidence as learned
from nni_earlyexit.thresholds.cutoff_problem import Points, Problem, build_problem, cheapest_first
from nni_earlyexit.thresholds.exit_outputs import Outputs
from nni_earlyexit.thresholds.policy import ExitPolicy, first_sure_exit
from nni_earlyexit.thresholds.policy_front import Front, mean_cost
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating]
Kept: TypeAlias = tuple[int, ...]
"""Exits that are not dropped, the last one included."""

BEYOND = float(np.finfo(np.float32).max)
"""A cutoff that no confidence reaches."""
MAX_SEARCHES = 16
"""Sets of kept exits that are all searched; of more, the best are."""


class Confidences:
    """The confidences of a data set's exits under one measure.

    Parameters
    ----------
    name
        Name of the measure.
    logits
        (inputs, exits, classes), divided by the temperatures.
    scores
        (inputs, exits): what an input is worth at each exit; what the learned measure predicts.
    weights
        (inputs,).
    seed
        Seed of the split that the learned measure is cross-fitted on.
    """

    def __init__(self, name: str, logits: Array, scores: Array, weights: Array, seed: int) -> None:
        self.name = name
        self.independent = name in measures.MEASURES
        self.logits, self._scores, self._weights, self._seed = logits, scores, weights, seed
        self._columns: dict[Kept, Array] = {}
        self._models: dict[Kept, learned.LearnedConfidence] = {}

    @cached_property
    def _every(self) -> Array:
        return measures.of_kept_exits(self.name, self.logits[:, :-1])

    def of_exits(self, kept: Kept) -> Array:
        """Confidences (inputs, kept exits but the last) for the exits ``kept``, the last one included."""
        if self.independent:
            return self._every[:, kept[:-1]]
        if self.name != measures.LEARNED:
            return measures.of_kept_exits(self.name, self.logits[:, kept[:-1]])
        for end in range(1, len(kept)):
            prefix = kept[:end]
            if prefix not in self._columns:
                self._columns[prefix] = learned.cross_fitted(
                    self.logits[:, prefix], self._gain(prefix), self._weights, self._seed
                )
        columns = [self._columns[kept[:end]] for end in range(1, len(kept))]
        return np.stack(columns, axis=1) if columns else np.empty((len(self.logits), 0))

    def models(self, kept: Kept) -> tuple[learned.LearnedConfidence | None, ...] | None:
        """The learned models of all exits, fitted to all of the data, when ``kept`` are kept; else ``None``."""
        if self.name != measures.LEARNED:
            return None
        models: list[learned.LearnedConfidence | None] = [None] * self.logits.shape[1]
        for end in range(1, len(kept)):
            prefix = kept[:end]
            if prefix not in self._models:
                self._models[prefix] = learned.fit(self.logits[:, prefix], self._gain(prefix), self._weights)
            models[prefix[-1]] = self._models[prefix]
        return tuple(models)

    def _gain(self, prefix: Kept) -> Array:
        """Gain (inputs,) of going on to the last exit over leaving at the last of ``prefix``; 0 where there is none."""
        return np.maximum(self._scores[:, -1] - self._scores[:, prefix[-1]], 0)


def search_policies(
    confidences: Confidences,
    scores: Array,
    weights: Array,
    costs: Array,
    branch_costs: Array,
    *,
    drop_exits: bool = True,
) -> Front:
    """Every non-dominated policy by mean score (inputs, exits) and mean cost, over all sets of kept exits.

    ``costs`` (exits,) are those of leaving at each exit when all are run, of which dropping an exit saves its
    ``branch_costs`` (exits,). Without ``drop_exits``, all are kept, also those at which nothing leaves.
    """
    exits = scores.shape[1]
    every = tuple(range(exits))
    segments = np.diff(costs, prepend=0.0) - branch_costs
    if confidences.independent and drop_exits:
        problem, cutoffs = build_problem(confidences.of_exits(every), scores, weights, segments, branch_costs)
        return _front([(every, cutoff_search.search(problem), [np.append(c, np.inf) for c in cutoffs])], weights, exits)

    def problem_of(kept: Kept) -> tuple[Problem, list[Array]]:
        """The problem with the exits ``kept`` only, all of which are run."""
        backbone = np.diff(np.cumsum(segments)[list(kept)], prepend=0.0)
        paid = backbone + branch_costs[list(kept)]
        return build_problem(confidences.of_exits(kept), scores[:, kept], weights, paid, np.zeros(len(kept)))

    fronts = []
    sets = [every]
    if drop_exits:
        sets = _worth_a_search(
            problem_of, confidences, scores=scores, weights=weights, costs=costs, branch_costs=branch_costs
        )
    for kept in sets:
        problem, cutoffs = problem_of(kept)
        # an exit that is kept although nothing leaves there, for what later ones learn from it
        surest = confidences.of_exits(kept).max(axis=0, initial=0.0)
        above_all = np.where(surest <= 1, surest + 1, BEYOND)  # a measure that goes beyond 1 may go anywhere
        levels = [np.append(c, above) for c, above in zip(cutoffs, above_all, strict=True)]
        fronts.append((kept, cutoff_search.search(problem), levels))
    return _front(fronts, weights, exits)


def _worth_a_search(
    problem_of: Callable[[Kept], tuple[Problem, list[Array]]],
    confidences: Confidences,
    scores: Array,
    weights: Array,
    costs: Array,
    branch_costs: Array,
) -> list[Kept]:
    """The sets of kept exits to search: all of a few; of many, those that a rough search finds best somewhere."""
    exits = scores.shape[1]
    if exits > cutoff_search.MAX_SUBSET_EXITS:
        # too many sets: those that are best under a measure that needs one search for all of them
        simple = search_policies(
            Confidences("max_prob", confidences.logits, scores, weights, 0), scores, weights, costs, branch_costs
        )
        kept = list(dict.fromkeys(kept_by(cutoffs) for cutoffs in simple.cutoffs))  # cheapest first
        some = np.unique(np.linspace(0, len(kept) - 1, MAX_SEARCHES).round().astype(int))
        return sorted({*(kept[i] for i in some), tuple(range(exits))})
    early = [e for size in range(exits) for e in itertools.combinations(range(exits - 1), size)]
    sets = [(*kept, exits - 1) for kept in early]
    if len(sets) <= MAX_SEARCHES:
        return sets
    prices = cutoff_search.prices_along_front(scores, float(costs[-1]))[:: cutoff_search.SCREENING_PRICES]
    values = np.array([cutoff_search.screen(problem_of(kept)[0], prices) for kept in sets])
    return [sets[i] for i in sorted({len(sets) - 1, *values.argmax(axis=0).tolist()})]


def _front(fronts: Sequence[tuple[Kept, Points, list[Array]]], weights: Array, exits: int) -> Front:
    """The front over those of several sets of kept exits.

    The cutoffs of a level are those at its position; the last is that of level -1, where nothing leaves.
    """
    total = weights.sum()
    columns = []
    for kept, points, cutoffs in fronts:
        every = np.full((len(points.cost), exits), np.inf)
        left = np.zeros((len(points.cost), exits))
        left[:, kept] = np.maximum(points.left, 0)  # sums can be rounded below
        for k, exit in enumerate(kept[:-1]):
            every[:, exit] = cutoffs[k][points.levels[:, k]]
        every[:, -1] = -np.inf
        columns.append((points.score / total, points.cost / total, every, left / total))
    score, cost, every, left = (np.concatenate(column) for column in zip(*columns, strict=True))
    best = cheapest_first(cost, score)
    return Front(score[best], cost[best], every[best], left[best])


def kept_by(cutoffs: Array) -> Kept:
    """The exits that a vector of cutoffs does not drop."""
    return tuple(np.flatnonzero(cutoffs < np.inf).tolist())


def exits_of_each(
    cutoffs: Array, policy: Callable[[Array], ExitPolicy], logits: NDArray[np.floating]
) -> Iterator[NDArray[np.intp]]:
    """The exit (inputs,) that each input leaves at, for each row of ``cutoffs``, of which ``policy`` makes a policy."""
    confidences: dict[Kept, Array] = {}
    for row in cutoffs:
        kept = kept_by(row)
        if kept not in confidences:
            confidences[kept] = policy(row).confidences(logits)
        yield first_sure_exit(confidences[kept], row, kept)


def judge(
    cutoffs: Array, policy: Callable[[Array], ExitPolicy], outputs: Outputs, costs: Array, branch_costs: Array
) -> Front:
    """Accuracy and cost of each row of ``cutoffs`` on ``outputs``, in their order; there, one policy may beat another."""
    total, exits = outputs.weights.sum(), len(costs)
    inputs = np.arange(len(outputs))
    shares, score = np.empty((len(cutoffs), exits)), np.empty(len(cutoffs))
    for i, leaving in enumerate(exits_of_each(cutoffs, policy, outputs.logits)):
        shares[i] = np.bincount(leaving, weights=outputs.weights, minlength=exits) / total
        score[i] = outputs.scores[inputs, leaving] @ outputs.weights / total
    return Front(score, mean_cost(cutoffs, shares, costs, branch_costs), cutoffs, shares)
