"""The search for cutoffs: every non-dominated way for inputs to leave, as pure functions on arrays.

A cutoff at an exit is one of that exit's *levels*, surest first; level ``-1`` drops the exit: nothing leaves there, and its
branch is not run. What inputs do is decided by their *codes*: an input that reaches an exit leaves there when its code is
at most the exit's level. So the order of confidences matters and their values do not.

Few levels are searched completely, with a table of what remains after every combination of them (:func:`_table`). Otherwise
policies are found by coordinate ascent of ``score - price * cost`` for a range of prices, from the best of such a table for
a few levels of each exit (:func:`_path`): given the other cutoffs, the best one of an exit is found exactly, by one
histogram. Every policy that differs from one found in one cutoff is then a point too, and the widest gaps that are left are
looked into.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MAX_CELLS = 2**18
"""Combinations of levels up to which all are tried."""
ROUGH_CELLS = 2**15
"""Combinations of a few levels that are tried for a start, where there are more."""
MAX_LEVELS = 1024
"""Levels of an exit beyond that, evenly spread over the inputs."""
MAX_SUBSET_EXITS = 10
"""Exits up to which every subset of them is tried."""
SCREENING_INPUTS = 5000
"""Inputs on which subsets are compared; the winners are then improved on all."""
SCREENING_PRICES = 2
"""One price in so many is used for comparing subsets."""
MAX_PASSES = 2
"""Rounds of coordinate ascent; more bring next to nothing."""
GAP_ROUNDS, GAPS = 2, 8
"""Rounds of looking into the widest gaps of the front, and gaps per round."""
PRICES = np.geomspace(1e-3, 10, 24)
"""Score that the cost of the last exit is worth, in units of the range of the scores."""

Array: TypeAlias = NDArray[np.floating]
Levels: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class Problem:
    """What is to be searched; ``exits`` counts the last one.

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
        """Those at ``index``."""
        return Points(self.levels[index], self.score[index], self.cost[index], self.left[index])


def concatenate(points: Iterable[Points]) -> Points:
    """All points in one."""
    columns = zip(*((p.levels, p.score, p.cost, p.left) for p in points), strict=True)
    return Points(*(np.concatenate(column) for column in columns))


def non_dominated(cost: Array, score: Array) -> Levels:
    """Indices of the points that no other point beats in both, cheapest first; equal points once.

    What differs by no more than the rounding of sums is equal.
    """
    cost = np.round(cost / max(abs(cost).max(), 1e-300), 12)
    score = np.round(score / max(abs(score).max(), 1e-300), 12)
    order = np.lexsort((-score, cost))
    best_before = np.concatenate([[-math.inf], np.maximum.accumulate(score[order])[:-1]])
    return order[score[order] > best_before]


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


def problem(
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
    return Problem(codes, levels, np.ascontiguousarray(scores.T) * weights, weights, segments, branches), cutoffs


def _thin(cutoffs: Array, confidence: Array) -> Array:
    """At most ``MAX_LEVELS`` of the cutoffs, so that about equally many inputs lie between them; the lowest is kept."""
    if len(cutoffs) <= MAX_LEVELS:
        return cutoffs
    leaving = np.searchsorted(-np.sort(confidence)[::-1], -cutoffs, side="right")
    # the quantile that each cutoff falls into; the last cutoff of each is kept
    part = leaving * MAX_LEVELS // (len(confidence) + 1)
    return cutoffs[np.append(part[1:] != part[:-1], True)]


def search(of: Problem) -> Points:
    """Every non-dominated policy that the search finds, cheapest first; all there are where the levels are few."""
    if math.prod(count + 1 for count in of.levels) <= MAX_CELLS:
        return _table(of)
    starts = {tuple(levels.tolist()) for levels in _path(of)}
    found = _around(of, starts)
    for _ in range(GAP_ROUNDS):
        more = _in_gaps(of, found) - starts
        if not more:
            break
        starts |= more
        found = _front([found, _around(of, more)])
    return found


def prices(scores: Array, full_cost: float) -> Array:
    """Prices along the front: score per unit of cost, for these scores and the cost of the last exit."""
    return PRICES * max(float(np.ptp(scores)), 1e-300) / full_cost


def screen(of: Problem, at: Array) -> Array:
    """What the best policy is worth, roughly, at each of these prices: which of many problems are worth a search."""
    sampled = of.sample(SCREENING_INPUTS)
    values = [value for _, value in _descend(sampled, at, np.ones(len(of.levels), dtype=bool))]
    return np.array(values) / sampled.weights.sum()


def _table(of: Problem) -> Points:
    """All combinations of levels, by tables of what is left after the first exits: one axis per exit, level -1 first."""
    exits = len(of.scores)
    shape: tuple[int, ...] = ()
    index = np.zeros(len(of.weights), dtype=np.intp)
    remaining = [np.full((), of.weights.sum())]
    score, cost = np.zeros(()), np.zeros(())
    for k in range(exits):
        own = of.scores[k]
        # an exit's new axis is the last, so what was known before is broadcast over it
        reaching = remaining[-1][..., None] if k < exits - 1 else remaining[-1]
        score_here = _after(index, own, shape)
        if k == exits - 1:
            score = score + score_here
            cost = cost + reaching * of.pay(k, 0)
            break
        index = index * of.levels[k] + of.codes[k]
        shape = (*shape, of.levels[k])
        pays = np.full(of.levels[k] + 1, of.pay(k, 0))
        pays[0] = of.pay(k, -1)
        score = score[..., None] + score_here[..., None] - _after(index, own, shape)
        cost = cost[..., None] + reaching * pays
        remaining.append(_after(index, of.weights, shape))
    flat = non_dominated(cost.ravel(), score.ravel())
    at = np.unravel_index(flat, score.shape) if exits > 1 else ()
    after = np.stack([table[at[: table.ndim]] * np.ones(len(flat)) for table in remaining], axis=1)
    left = np.append(-np.diff(after, axis=1), after[:, -1:], axis=1)
    levels = np.stack(at, axis=1) - 1 if exits > 1 else np.empty((len(flat), 0), dtype=np.intp)
    return Points(levels, score.ravel()[flat], cost.ravel()[flat], left)


def _after(index: Levels, values: Array, shape: tuple[int, ...]) -> Array:
    """The sum of ``values`` over the inputs that remain after exits of these levels: (levels + 1, ...), level -1 first."""
    if not shape:
        return np.asarray(values.sum())
    table = np.bincount(index, weights=values, minlength=math.prod(shape)).reshape(shape)
    for axis in range(len(shape)):
        # level t leaves over the codes above t
        table = np.flip(np.flip(table, axis).cumsum(axis), axis)
        table = np.concatenate([table, np.zeros_like(table.take([0], axis))], axis)
    return table


def _path(of: Problem) -> list[Levels]:
    """Policies along the front: for many prices, the best of a rough search, improved until it is a local optimum."""
    own = of.scores[:, of.weights > 0] / of.weights[of.weights > 0]
    path = prices(own, float(of.segments.sum() + of.branches.sum()))
    allowed = np.ones(len(of.levels), dtype=bool)
    rough = _rough(of)
    found = []
    for price in path:
        start = rough.levels[int((rough.score - price * rough.cost).argmax())]
        found.append(ascend(of, price, start, allowed)[0])
    if of.branches[:-1].any() and len(of.levels) < MAX_SUBSET_EXITS:
        found += [ascend(of, price, start, allowed)[0] for price, start in _best_subsets(of, path[::SCREENING_PRICES])]
    return found


def _around(of: Problem, starts: Iterable[tuple[int, ...]]) -> Points:
    """The front of the policies that differ from one of ``starts`` in one exit at most."""
    return _front(points for start in sorted(starts) for points in _neighbours(of, np.array(start, dtype=np.intp)))


def _front(points: Iterable[Points]) -> Points:
    found = concatenate(points)
    return found.take(non_dominated(found.cost, found.score))


def _in_gaps(of: Problem, found: Points) -> set[tuple[int, ...]]:
    """Where to look for what the path of prices jumped over: around the cheap end of the widest gaps, and uphill of it.

    Where the front is nearly straight, no price leads to the policies between two that are far apart.
    """
    dearer, better = np.diff(found.cost), np.diff(found.score)
    widest = np.argsort(-dearer * better, kind="stable")[:GAPS]
    starts = []
    for gap in widest:
        end = found.levels[gap]
        uphill, _ = ascend(of, better[gap] / dearer[gap], end, np.ones(len(end), dtype=bool))
        starts += [end, uphill]
    return {tuple(levels.tolist()) for levels in starts}


def _rough(of: Problem) -> Points:
    """The front over all combinations of a few levels of each exit: far apart, but none is overlooked.

    Of more exits than there is room for, some at equal distances; the others are dropped.
    """
    early = len(of.levels)
    used = np.unique(np.linspace(0, early - 1, min(early, int(math.log2(ROUGH_CELLS)))).round().astype(int))
    most = int(ROUGH_CELLS ** (1 / len(used)) + 1e-9) - 1
    places = np.linspace(0, len(of.weights) - 1, most + 1).astype(int)[1:]
    picked = [np.unique(np.sort(of.codes[k])[places]) for k in used]
    kept = np.append(used, early)
    points = _table(
        Problem(
            codes=np.stack([np.searchsorted(own, of.codes[k]) for k, own in zip(used, picked, strict=True)]),
            levels=tuple(len(own) for own in picked),
            scores=of.scores[kept],
            weights=of.weights,
            segments=np.diff(of.segments.cumsum()[kept], prepend=0.0),
            branches=of.branches[kept],
        )
    )
    levels = np.full((len(points.cost), early), -1)
    for column, (k, own) in enumerate(zip(used, picked, strict=True)):
        levels[:, k] = np.append(own, -1)[points.levels[:, column]]
    return replace(points, levels=levels)


def _descend(of: Problem, at: Array, allowed: NDArray[np.bool_]) -> list[tuple[Levels, float]]:
    """The local optimum at each price and its value, each from the one at the next higher price."""
    levels = np.where(allowed, np.array(of.levels) - 1, -1)
    found = []
    for price in at[::-1]:
        levels, value = ascend(of, price, levels, allowed)
        found.append((levels, value))
    return found[::-1]


def _best_subsets(of: Problem, at: Array) -> list[tuple[float, Levels]]:
    """For every price, the best policy among those of every subset of the exits, on some of the inputs."""
    sampled = of.sample(SCREENING_INPUTS)
    best = [(np.full(len(of.levels), -1), -math.inf)] * len(at)
    for kept in itertools.product([False, True], repeat=len(of.levels)):
        found = _descend(sampled, at, np.array(kept))
        best = [max(pair, key=lambda levels_value: levels_value[1]) for pair in zip(best, found, strict=True)]
    return [(price, levels) for price, (levels, _) in zip(at, best, strict=True)]


def ascend(
    of: Problem,
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
        reaching = _reaching(of, levels)
        later = of.scores[-1] - price * of.pay(len(levels), 0) * of.weights
        for k in reversed(range(len(levels))):
            if allowed[k]:
                worth = (of.scores[k] - later) * reaching[k]
                gains = np.bincount(of.codes[k], weights=worth, minlength=of.levels[k]).cumsum()
                level = int(gains.argmax())
                saved = price * of.branches[k] * of.weights[reaching[k]].sum() if of.branches[k] else 0
                levels[k] = -1 if saved >= gains[level] else level
            later = np.where(of.codes[k] <= levels[k], of.scores[k], later)
            later -= price * of.pay(k, int(levels[k])) * of.weights
        value = float(later.sum())
        if (levels == before).all():
            break
    return levels, value


def _reaching(of: Problem, levels: Levels) -> NDArray[np.bool_]:
    """Which inputs (exits, inputs) reach each exit."""
    reaching = np.ones((len(levels) + 1, len(of.weights)), dtype=bool)
    for k, level in enumerate(levels):
        np.logical_and(reaching[k], of.codes[k] > level, out=reaching[k + 1])
    return reaching


def _neighbours(of: Problem, levels: Levels) -> Iterator[Points]:
    """Every policy that differs from ``levels`` in one exit at most: for each exit, those that are not dominated."""
    exits = len(of.scores)
    reaching = _reaching(of, levels)
    weight = reaching @ of.weights
    left = np.append(weight[:-1] - weight[1:], weight[-1])
    paid = weight * [of.pay(k, int(level)) for k, level in enumerate([*levels, 0])]
    got = np.array([of.scores[k, r & ~n].sum() for k, (r, n) in enumerate(itertools.pairwise(reaching))])

    later = of.scores[-1]
    later_cost = of.pay(exits - 1, 0) * of.weights
    leaves_at = np.full(len(of.weights), exits - 1)
    for k in reversed(range(exits - 1)):
        count, code = of.levels[k], of.codes[k]

        def sums(values: Array, code: Levels = code, count: int = count, k: int = k) -> Array:
            """Over the inputs that reach the exit and leave there, at each level."""
            return np.append(0, np.bincount(code, values * reaching[k], count).cumsum())

        own = np.arange(-1, count)
        cost = paid[:k].sum() + weight[k] * of.segments[k] + np.where(own >= 0, weight[k] * of.branches[k], 0)
        cost = cost + later_cost[reaching[k]].sum() - sums(later_cost)
        score = got[:k].sum() + later[reaching[k]].sum() + sums(of.scores[k] - later)
        # level by level more leaves and the cost falls; dropping the exit stands for itself
        best = np.maximum.accumulate(score[:0:-1])[::-1]
        chosen = np.append(0, 1 + np.flatnonzero(score[1:] > np.append(best[1:], -math.inf)))

        going_on = np.bincount(code * exits + leaves_at, of.weights * reaching[k], count * exits)
        after = np.concatenate([np.zeros((1, exits)), going_on.reshape(count, exits).cumsum(axis=0)])
        after = after[-1] - after
        shares = np.tile(np.where(np.arange(exits) < k, left, 0), (len(chosen), 1))
        shares += after[chosen]
        shares[:, k] = weight[k] - after[chosen].sum(axis=1)
        varied = np.tile(levels, (len(chosen), 1))
        varied[:, k] = own[chosen]
        yield Points(varied, score[chosen], cost[chosen], shares)

        leaves = code <= levels[k]
        later = np.where(leaves, of.scores[k], later)
        later_cost = np.where(leaves, 0, later_cost) + of.pay(k, int(levels[k])) * of.weights
        leaves_at = np.where(leaves, k, leaves_at)
