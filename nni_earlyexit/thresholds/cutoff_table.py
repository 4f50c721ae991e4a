"""All combinations of few levels, by a table of what remains after each."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from nni_earlyexit.thresholds.cutoff_problem import (
    Array,
    Levels,
    Points,
    Problem,
    cheapest_first,
)


def all_combinations(problem: Problem) -> Points:
    """All combinations of levels, by tables of what is left after the first exits: one axis per exit, level -1 first."""
    exits = len(problem.scores)
    shape: tuple[int, ...] = ()
    index = np.zeros(len(problem.weights), dtype=np.intp)
    remaining = [np.full((), problem.weights.sum())]
    score, cost = np.zeros(()), np.zeros(())
    for k in range(exits):
        own = problem.scores[k]
        # an exit's new axis is the last, so what was known before is broadcast over it
        reaching = remaining[-1][..., None] if k < exits - 1 else remaining[-1]
        score_here = _after(index, own, shape)
        if k == exits - 1:
            score = score + score_here
            cost = cost + reaching * problem.pay(k, 0)
            break
        index = index * problem.levels[k] + problem.codes[k]
        shape = (*shape, problem.levels[k])
        pays = np.full(problem.levels[k] + 1, problem.pay(k, 0))
        pays[0] = problem.pay(k, -1)
        score = score[..., None] + score_here[..., None] - _after(index, own, shape)
        cost = cost[..., None] + reaching * pays
        remaining.append(_after(index, problem.weights, shape))
    flat = cheapest_first(cost.ravel(), score.ravel())
    cells = np.unravel_index(flat, score.shape) if exits > 1 else ()
    after = np.stack([table[cells[: table.ndim]] * np.ones(len(flat)) for table in remaining], axis=1)
    left = np.append(-np.diff(after, axis=1), after[:, -1:], axis=1)
    levels = np.stack(cells, axis=1) - 1 if exits > 1 else np.empty((len(flat), 0), dtype=np.intp)
    return Points(levels, score.ravel()[flat], cost.ravel()[flat], left)


def _after(index: Levels, values: Array, shape: tuple[int, ...]) -> Array:
    """The sum of ``values`` over the inputs that remain after exits of these levels: (levels + 1, ...), level -1 first."""
    if not shape:
        return np.asarray(values.sum())
    # numpy's annotations only know the counts that it gives without weights
    table = cast(Array, np.bincount(index, weights=values, minlength=math.prod(shape))).reshape(shape)
    for axis in range(len(shape)):
        # level t leaves over the codes above t
        table = np.flip(np.flip(table, axis).cumsum(axis), axis)
        table = np.concatenate([table, np.zeros_like(table.take([0], axis))], axis)
    return table
