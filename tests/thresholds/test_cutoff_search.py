from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_earlyexit.thresholds import cutoff_problem
from nni_earlyexit.thresholds import cutoff_search as search
from nni_earlyexit.thresholds.coordinate_ascent import ascend
from nni_earlyexit.thresholds.cutoff_problem import Problem, build_problem, candidates, cheapest_first


def random_problem(seed, inputs=40, early=3, levels=4):
    rng = np.random.default_rng(seed)
    weights = rng.random(inputs) + 0.1
    return Problem(
        codes=rng.integers(0, levels, (early, inputs)),
        levels=(levels,) * early,
        scores=rng.normal(size=(early + 1, inputs)) * weights,
        weights=weights,
        segments=rng.random(early + 1) + 0.1,
        branches=rng.random(early + 1) * rng.integers(0, 2),
    )


def loop(of, levels):
    """Score, cost and weight left at each exit, input by input."""
    score, cost, left = 0.0, 0.0, [0.0] * (len(levels) + 1)
    for i, weight in enumerate(of.weights):
        for k in range(len(left)):
            dropped = k < len(levels) and levels[k] < 0
            cost += weight * (of.segments[k] + (0 if dropped else of.branches[k]))
            if k == len(levels) or of.codes[k, i] <= levels[k]:
                break
        score += of.scores[k, i]
        left[k] += weight
    return score, cost, left


def area(points, of):
    """Area under the front, to the right up to the cost of the last exit for everything."""
    most = (of.segments.sum() + of.branches.sum()) * of.weights.sum()
    least = of.scores.min() * len(of.weights)
    return (np.diff(np.append(points.cost, most)) * (points.score - least)).sum()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("early", [0, 1, 2, 3])
def test_few_levels_are_searched_completely(seed, early):
    of = random_problem(seed, early=early)
    every = [loop(of, levels)[:2] for levels in itertools.product(range(-1, 4), repeat=early)]
    found = search.search(of)
    best = {(s, c) for s, c in every if not any(a >= s and b <= c and (a, b) != (s, c) for a, b in every)}
    np.testing.assert_allclose(sorted(zip(found.score, found.cost, strict=True)), sorted(best))


@pytest.mark.parametrize("cells", [0, search.MAX_CELLS], ids=["path", "table"])
@pytest.mark.parametrize("seed", range(5))
def test_every_point_is_what_its_levels_give(monkeypatch, cells, seed):
    monkeypatch.setattr(search, "MAX_CELLS", cells)
    of = random_problem(seed)
    found = search.search(of)
    for levels, score, cost, left in zip(found.levels, found.score, found.cost, found.left, strict=True):
        assert (score, cost) == pytest.approx(loop(of, levels)[:2])
        assert left == pytest.approx(loop(of, levels)[2])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("early", [2, 4, 5])
def test_the_path_is_nearly_as_good_as_all_combinations(monkeypatch, seed, early):
    of = random_problem(seed, inputs=300, early=early, levels=7)
    table = area(search.search(of), of)
    monkeypatch.setattr(search, "MAX_CELLS", 0)
    path = area(search.search(of), of)
    assert 0.99 * table < path < table * (1 + 1e-9)


def test_ascent_never_loses_and_ends_where_no_single_level_is_better():
    of, price = random_problem(0, inputs=200, early=4, levels=9), 0.3
    allowed = np.ones(4, dtype=bool)
    levels, value = ascend(of, price, np.full(4, -1), allowed)

    def worth(levels):
        score, cost, _ = loop(of, levels)
        return score - price * cost

    assert value == pytest.approx(worth(levels))
    for k, level in itertools.product(range(4), range(-1, 9)):
        assert worth(np.where(np.arange(4) == k, level, levels)) <= value + 1e-9


def test_exits_that_are_not_allowed_stay_dropped():
    of = random_problem(1)
    levels, _ = ascend(of, 0.1, np.full(3, -1), np.array([True, False, True]))
    assert levels[1] == -1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
def test_non_dominated_points_are_those_that_no_other_beats(points):
    cost, score = np.array(points, dtype=float).T
    kept = cheapest_first(cost, score)
    expected = {(c, s) for c, s in points if not any(a <= c and b >= s and (a, b) != (c, s) for a, b in points)}
    assert [(cost[i], score[i]) for i in kept] == sorted(expected)


def test_candidates_leave_out_cutoffs_that_only_keep_back_what_cannot_gain():
    confidence = np.array([0.9, 0.8, 0.7, 0.7, 0.6, 0.5])
    may_gain = np.array([False, False, True, False, False, False])
    # 0.8 keeps back the group at 0.7, which may gain; 0.5 lets everything leave
    assert candidates(confidence, may_gain).tolist() == [0.8, 0.5]


def test_thinned_levels_hold_about_equally_many_inputs_and_the_lowest_cutoff(monkeypatch):
    monkeypatch.setattr(cutoff_problem, "MAX_CELLS", 10)
    monkeypatch.setattr(cutoff_problem, "MAX_LEVELS", 16)
    rng = np.random.default_rng(0)
    confidences, scores = rng.random((1000, 2)), rng.random((1000, 3))
    of, cutoffs = build_problem(confidences, scores, np.ones(1000), np.ones(3), np.zeros(3))
    for k in range(2):
        assert len(cutoffs[k]) == of.levels[k] <= 16
        assert cutoffs[k][-1] == confidences[:, k].min()
        assert np.bincount(of.codes[k]).max() < 2.5 * 1000 / 16
        for level, cutoff in enumerate(cutoffs[k]):
            np.testing.assert_array_equal(of.codes[k] <= level, confidences[:, k] >= cutoff)


def test_screening_tells_a_good_problem_from_a_bad_one():
    of = random_problem(0, inputs=200)
    better = replace(of, scores=of.scores + 0.1 * of.weights)
    prices = search.prices_along_front(of.scores, 3.0)
    np.testing.assert_allclose(search.screen(better, prices), search.screen(of, prices) + 0.1)
