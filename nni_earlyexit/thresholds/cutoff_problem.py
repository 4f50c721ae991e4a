"""The search for cutoffs as a problem on arrays: levels of each exit, and what an input does at each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from nni_earlyexit.utils.non_dominance import non_dominated
from numpy.typing import NDArray

MAX_CELLS = 2**18
"""Combinations of levels up to which all are tried."""
MAX_LEVELS = 1024
"""Levels of an exit beyond that, evenly spread over the inputs."""
Array: TypeAlias = NDArray[np.floating]
Levels: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class Problem:
    """One search for cutoffs; ``exits`` counts the last exit too.

    Attributes
    ----------
    codes
        (exits - 1, inputs): the surest level of each exit that the input reaches.
    levels
        Number of levels of each exit but the last.
    scores
        (exits, inputs): what an input is worth when it leaves there, times its weight.
    weights
        (inputs,).
    segments
        (exits,): cost of the backbone between the exits.
    branches
        (exits,): cost of each exit branch that is saved when the exit is dropped; whoever passes a kept exit pays it.
    """

    codes: Levels
    levels: tuple[int, ...]
    scores: Array
    weights: Array
    segments: Array
    branches: Array

    def pay(self, exit: int, level: int) -> float:
        """Cost of an input from the exit before to this one, if it has that level."""
        return float(self.segments[exit] + (self.branches[exit] if level >= 0 else 0))

    def sample(self, inputs: int) -> Problem:
        """The same with about that many of the inputs, at equal distances."""
        step = max(1, len(self.weights) // inputs)
        return replace(
            self, codes=self.codes[:, ::step], scores=self.scores[:, ::step], weights=self.weights[::step]
        )  # fmt: skip


@dataclass(frozen=True)
class Points:
    """Policies and what they give; sums over the inputs.

    ``levels`` (points, exits - 1), ``score`` (points,), ``cost`` (points,), ``left`` (points, exits): weight leaving there.
    """

    levels: Levels
    score: Array
    cost: Array
    left: Array

    def take(self, index: Levels) -> Points:
        """The points at ``index``."""
        return Points(self.levels[index], self.score[index], self.cost[index], self.left[index])


def concatenate(points: Iterable[Points]) -> Points:
    """All points in one."""
    columns = zip(*((p.levels, p.score, p.cost, p.left) for p in points), strict=True)
    return Points(*(np.concatenate(column) for column in columns))


def cheapest_first(cost: Array, score: Array) -> Levels:
    """Indices of the points that no other one beats in both, cheapest first; equal points once."""
    return non_dominated(np.stack([cost, -score], axis=1))


def candidates(confidence: Array, may_gain: NDArray[np.bool_]) -> Array:
    """Cutoffs worth considering at one exit, largest first.

    They are each distinct confidence whose next lower group holds an input that ``may_gain`` by going on, and the lowest
    confidence (everything leaves). Those in between only keep back inputs whose leaving saves cost and loses nothing.
    """
    values, group = np.unique(confidence, return_inverse=True)
    worth = np.zeros(len(values), dtype=bool)
    worth[group[may_gain]] = True
    # values[i] as cutoff keeps back group i - 1 and below
    return values[np.append(True, worth[:-1])][::-1]


def build_problem(
    confidences: Array, scores: Array, weights: Array, segments: Array, branches: Array
) -> tuple[Problem, list[Array]]:
    """The problem of confidences (inputs, exits - 1) and scores (inputs, exits), and the cutoff that each level stands for.

    An exit's cutoffs are thinned out to ``MAX_LEVELS`` where there are too many to try all of their combinations.
    """
    early = confidences.shape[1]
    best_later = np.maximum.accumulate(scores[:, ::-1], axis=1)[:, ::-1]
    cutoffs = [candidates(confidences[:, k], best_later[:, k + 1] > scores[:, k]) for k in range(early)]
    if math.prod(len(c) + 1 for c in cutoffs) > MAX_CELLS:
        cutoffs = [_thin(cutoffs[k], confidences[:, k]) for k in range(early)]
    codes = np.empty((early, len(weights)), dtype=np.intp)  # what bincount takes without a copy
    for k, own in enumerate(cutoffs):
        codes[k] = len(own) - np.searchsorted(own[::-1], confidences[:, k], side="right")
    levels = tuple(len(own) for own in cutoffs)
    problem = Problem(
        codes=codes,
        levels=levels,
        scores=np.ascontiguousarray(scores.T) * weights,
        weights=weights,
        segments=segments,
        branches=branches,
    )
    return problem, cutoffs


def _thin(cutoffs: Array, confidence: Array) -> Array:
    """A part of the cutoffs, at most ``MAX_LEVELS``, so that about equally many inputs lie between them; the lowest is kept."""
    if len(cutoffs) <= MAX_LEVELS:
        return cutoffs
    leaving = np.searchsorted(-np.sort(confidence)[::-1], -cutoffs, side="right")
    # the quantile that each cutoff falls into; the last cutoff of each is kept
    part = leaving * MAX_LEVELS // (len(confidence) + 1)
    return cutoffs[np.append(part[1:] != part[:-1], True)]
