"""The search for cutoffs: every non-dominated way for inputs to leave, as pure functions on arrays.

A cutoff at an exit is one of that exit's *levels*, surest first; level ``-1`` drops the exit: nothing leaves there, and its
branch is not run. What inputs do is decided by their *codes*: an input that reaches an exit leaves there when its code is
at most the exit's level. So the order of confidences matters and their values do not.

Few levels are searched completely, with a table of what remains after every combination of them. Otherwise policies are
improved by coordinate ascent of ``score - price * cost`` for a range of prices, from the best of such a table for a few
levels of each exit (:func:`_path`): given the other cutoffs, the best one of an exit is exact and takes one histogram.
Every policy that differs from one of these in one cutoff is then a point too, and the widest gaps that are left are looked
into.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from nni_earlyexit.thresholds.coordinate_ascent import ascend, descend, neighbours
from nni_earlyexit.thresholds.cutoff_problem import (
    MAX_CELLS,
    Array,
    Levels,
    Points,
    Problem,
    cheapest_first,
    concatenate,
)
from nni_earlyexit.thresholds.cutoff_table import all_combinations

ROUGH_CELLS = 2**15
"""Combinations of a few levels that are tried for a start, where there are more."""
MAX_SUBSET_EXITS = 10
"""Exits up to which every subset of them is tried."""
SCREENING_INPUTS = 5000
"""Inputs on which subsets are compared; the winners are then improved on all."""
SCREENING_PRICES = 2
"""One price in so many is used for comparing subsets."""
GAP_ROUNDS, GAPS = 2, 8
"""Rounds of looking into the widest gaps of the front, and gaps per round."""
PRICES = np.geomspace(1e-3, 10, 24)
"""Score that the cost of the last exit is worth, in units of the range of the scores."""


def search(problem: Problem) -> Points:
    """Every non-dominated policy that the search finds, cheapest first; all there are where the levels are few."""
    if math.prod(count + 1 for count in problem.levels) <= MAX_CELLS:
        return all_combinations(problem)
    starts = {tuple(levels.tolist()) for levels in _path(problem)}
    points = _around(problem, starts)
    for _ in range(GAP_ROUNDS):
        more = _in_gaps(problem, points) - starts
        if not more:
            break
        starts |= more
        points = _front([points, _around(problem, more)])
    return points


def prices_along_front(scores: Array, full_cost: float) -> Array:
    """Prices along the front: score per unit of cost, for these scores and the cost of the last exit."""
    return PRICES * max(float(np.ptp(scores)), 1e-300) / full_cost


def screen(problem: Problem, prices: Array) -> Array:
    """Rough value of the best policy at each of these prices: it tells which of many problems are worth a search."""
    sampled = problem.sample(SCREENING_INPUTS)
    values = [value for _, value in descend(sampled, prices, np.ones(len(problem.levels), dtype=bool))]
    return np.array(values) / sampled.weights.sum()


def _path(problem: Problem) -> list[Levels]:
    """Policies along the front: for many prices, the best of a rough search, improved until it is a local optimum."""
    own = problem.scores[:, problem.weights > 0] / problem.weights[problem.weights > 0]
    path = prices_along_front(own, float(problem.segments.sum() + problem.branches.sum()))
    allowed = np.ones(len(problem.levels), dtype=bool)
    rough = _rough(problem)
    policies = []
    for price in path:
        start = rough.levels[int((rough.score - price * rough.cost).argmax())]
        policies.append(ascend(problem, price, start, allowed)[0])
    if problem.branches[:-1].any() and len(problem.levels) < MAX_SUBSET_EXITS:
        policies += [
            ascend(problem, price, start, allowed)[0]
            for price, start in _best_subsets(problem, path[::SCREENING_PRICES])
        ]
    return policies


def _around(problem: Problem, starts: Iterable[tuple[int, ...]]) -> Points:
    """The front of the policies that differ from one of ``starts`` in one exit at most."""
    return _front(points for start in sorted(starts) for points in neighbours(problem, np.array(start, dtype=np.intp)))


def _front(points: Iterable[Points]) -> Points:
    union = concatenate(points)
    return union.take(cheapest_first(union.cost, union.score))


def _in_gaps(problem: Problem, front: Points) -> set[tuple[int, ...]]:
    """Starts near what the path of prices jumped over: the cheap end of the widest gaps, and the optimum uphill of it.

    On a nearly straight part of the front, no price leads to the policies between two that are far apart.
    """
    dearer, better = np.diff(front.cost), np.diff(front.score)
    widest = np.argsort(-dearer * better, kind="stable")[:GAPS]
    starts = []
    for gap in widest:
        end = front.levels[gap]
        uphill, _ = ascend(problem, better[gap] / dearer[gap], end, np.ones(len(end), dtype=bool))
        starts += [end, uphill]
    return {tuple(levels.tolist()) for levels in starts}


def _rough(problem: Problem) -> Points:
    """The front over all combinations of a few levels of each exit: far apart, but none is overlooked.

    If there are more exits than there is room for, some at equal distances stay and the others are dropped.
    """
    early = len(problem.levels)
    used = np.unique(np.linspace(0, early - 1, min(early, int(math.log2(ROUGH_CELLS)))).round().astype(int))
    most = int(ROUGH_CELLS ** (1 / len(used)) + 1e-9) - 1
    places = np.linspace(0, len(problem.weights) - 1, most + 1).astype(int)[1:]
    picked = [np.unique(np.sort(problem.codes[k])[places]) for k in used]
    kept = np.append(used, early)
    points = all_combinations(
        Problem(
            codes=np.stack([np.searchsorted(own, problem.codes[k]) for k, own in zip(used, picked, strict=True)]),
            levels=tuple(len(own) for own in picked),
            scores=problem.scores[kept],
            weights=problem.weights,
            segments=np.diff(problem.segments.cumsum()[kept], prepend=0.0),
            branches=problem.branches[kept],
        )
    )
    levels = np.full((len(points.cost), early), -1)
    for column, (k, own) in enumerate(zip(used, picked, strict=True)):
        levels[:, k] = np.append(own, -1)[points.levels[:, column]]
    return replace(points, levels=levels)


def _best_subsets(problem: Problem, prices: Array) -> list[tuple[float, Levels]]:
    """The best policy over all subsets of the exits for every price, on some of the inputs."""
    sampled = problem.sample(SCREENING_INPUTS)
    best = [(np.full(len(problem.levels), -1), -math.inf)] * len(prices)
    for kept in itertools.product([False, True], repeat=len(problem.levels)):
        optima = descend(sampled, prices, np.array(kept))
        best = [max(pair, key=lambda levels_value: levels_value[1]) for pair in zip(best, optima, strict=True)]
    return [(price, levels) for price, (levels, _) in zip(prices, best, strict=True)]
