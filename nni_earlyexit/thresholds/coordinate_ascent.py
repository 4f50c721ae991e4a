"""Policies improved one exit at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from nni_earlyexit.thresholds.cutoff_problem import (
    Array,
    Levels,
    Points,
    Problem,
)
from numpy.typing import NDArray

MAX_PASSES = 2
"""Rounds of coordinate ascent; more bring next to nothing."""


def descend(problem: Problem, prices: Array, allowed: NDArray[np.bool_]) -> list[tuple[Levels, float]]:
    """The local optimum at each price and its value, each from the one at the next higher price."""
    levels = np.where(allowed, np.array(problem.levels) - 1, -1)
    optima = []
    for price in prices[::-1]:
        levels, value = ascend(problem, price, levels, allowed)
        optima.append((levels, value))
    return optima[::-1]


def ascend(
    problem: Problem,
    price: float,
    levels: Levels,
    allowed: NDArray[np.bool_],
) -> tuple[Levels, float]:
    """Coordinate ascent of ``score - price * cost`` from ``levels``, over the ``allowed`` exits: the optimum, its value.

    A pass goes from the last exit to the first and keeps what each input gets if it goes on, so that the best level of an
    exit takes one histogram.
    """
    levels = levels.copy()
    value = -math.inf
    for _ in range(MAX_PASSES):
        before = levels.copy()
        reaching = _reaching(problem, levels)
        later = problem.scores[-1] - price * problem.pay(len(levels), 0) * problem.weights
        for k in reversed(range(len(levels))):
            if allowed[k]:
                worth = (problem.scores[k] - later) * reaching[k]
                gains = np.bincount(problem.codes[k], weights=worth, minlength=problem.levels[k]).cumsum()
                level = int(gains.argmax())
                saved = price * problem.branches[k] * problem.weights[reaching[k]].sum() if problem.branches[k] else 0
                levels[k] = -1 if saved >= gains[level] else level
            later = np.where(problem.codes[k] <= levels[k], problem.scores[k], later)
            later -= price * problem.pay(k, int(levels[k])) * problem.weights
        value = float(later.sum())
        if (levels == before).all():
            break
    return levels, value


def _reaching(problem: Problem, levels: Levels) -> NDArray[np.bool_]:
    """Mask (exits, inputs) of the inputs that reach each exit."""
    reaching = np.ones((len(levels) + 1, len(problem.weights)), dtype=bool)
    for k, level in enumerate(levels):
        np.logical_and(reaching[k], problem.codes[k] > level, out=reaching[k + 1])
    return reaching


def neighbours(problem: Problem, levels: Levels) -> Iterator[Points]:
    """Every policy that differs from ``levels`` in one exit at most: for each exit, those that are not dominated."""
    exits = len(problem.scores)
    reaching = _reaching(problem, levels)
    weight = reaching @ problem.weights
    left = np.append(weight[:-1] - weight[1:], weight[-1])
    paid = weight * [problem.pay(k, int(level)) for k, level in enumerate([*levels, 0])]
    got = np.array([problem.scores[k, r & ~n].sum() for k, (r, n) in enumerate(itertools.pairwise(reaching))])

    later = problem.scores[-1]
    later_cost = problem.pay(exits - 1, 0) * problem.weights
    leaves_at = np.full(len(problem.weights), exits - 1)
    for k in reversed(range(exits - 1)):
        count, code = problem.levels[k], problem.codes[k]

        def sums(values: Array, code: Levels = code, count: int = count, k: int = k) -> Array:
            """Sums of ``values`` over the inputs that reach the exit and leave there, at each level."""
            return np.append(0, np.bincount(code, values * reaching[k], count).cumsum())

        own = np.arange(-1, count)
        cost = paid[:k].sum() + weight[k] * problem.segments[k] + np.where(own >= 0, weight[k] * problem.branches[k], 0)
        cost = cost + later_cost[reaching[k]].sum() - sums(later_cost)
        score = got[:k].sum() + later[reaching[k]].sum() + sums(problem.scores[k] - later)
        # level by level more leaves and the cost falls; dropping the exit stands for itself
        best = np.maximum.accumulate(score[:0:-1])[::-1]
        chosen = np.append(0, 1 + np.flatnonzero(score[1:] > np.append(best[1:], -math.inf)))

        going_on = np.bincount(code * exits + leaves_at, problem.weights * reaching[k], count * exits)
        after = np.concatenate([np.zeros((1, exits)), going_on.reshape(count, exits).cumsum(axis=0)])
        after = after[-1] - after
        shares = np.tile(np.where(np.arange(exits) < k, left, 0), (len(chosen), 1))
        shares += after[chosen]
        shares[:, k] = weight[k] - after[chosen].sum(axis=1)
        varied = np.tile(levels, (len(chosen), 1))
        varied[:, k] = own[chosen]
        yield Points(varied, score[chosen], cost[chosen], shares)

        leaves = code <= levels[k]
        later = np.where(leaves, problem.scores[k], later)
        later_cost = np.where(leaves, 0, later_cost) + problem.pay(k, int(levels[k])) * problem.weights
        leaves_at = np.where(leaves, k, leaves_at)
