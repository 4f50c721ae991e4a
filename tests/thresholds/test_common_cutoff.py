"""One cutoff for all exits, and tuned cutoffs that keep every exit: they are what a plain loop finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from nni_earlyexit import ExitPolicy, ThresholdOptimizer
from nni_earlyexit.thresholds import confidence as measures
from nni_earlyexit.thresholds.guarantee import Guarantee
from nni_earlyexit.utils.non_dominance import non_dominated

MEASURES = sorted({**measures.MEASURES, **measures.SEQUENTIAL})


def outputs(seed, inputs, exits, classes=3):
    """Logits, classes, costs and branch costs; rounded, so that some confidences are equal."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(inputs, exits, classes)).round(1)
    branches = rng.integers(1, 4, exits).astype(float)
    return logits, rng.integers(0, classes, inputs), np.cumsum(rng.integers(1, 9, exits) + branches), branches


def points(rows, confidence, logits, y, costs):
    """(average cost, accuracy) of the non-dominated ones of ``rows`` of cutoffs, all exits being run, cheapest first."""
    found = []
    for row in rows:
        policy = ExitPolicy((*map(float, row), -np.inf), confidence)
        found.append((costs[policy.exits(logits)].mean(), (policy.predict(logits) == y).mean()))
    kept = non_dominated(np.array([[cost, -accuracy] for cost, accuracy in found]))
    return [found[i] for i in kept]


@pytest.mark.parametrize("confidence", MEASURES)
@pytest.mark.parametrize("exits", [1, 2, 4])
def test_shared_cutoffs_are_the_best_of_every_value_there_is(exits, confidence):
    logits, y, costs, branches = outputs(exits, 40, exits)
    every = measures.of_kept_exits(confidence, logits[:, :-1])
    rows = [[value] * (exits - 1) for value in [*np.unique(every), 99.0]]
    opt = ThresholdOptimizer(cutoffs="shared", confidence=confidence).fit(logits, y, costs, branch_costs=branches)
    np.testing.assert_allclose(
        [(p.avg_cost, p.accuracy) for p in opt.front_], points(rows, confidence, logits, y, costs)
    )
    assert all(len(set(p.cutoffs[:-1])) <= 1 for p in opt.front_)


def test_of_many_values_some_are_tried_and_little_is_lost():
    logits, y, costs, _ = outputs(0, 3000, 3)
    logits = logits + np.random.default_rng(1).normal(size=logits.shape)
    every = measures.of_kept_exits("max_prob", logits[:, :-1])
    front = ThresholdOptimizer(cutoffs="shared").fit(logits, y, costs).front_
    assert len(np.unique(every)) == 6000
    all_of_them = points([[value] * 2 for value in np.unique(every)[::5]], "max_prob", logits, y, costs)
    for cost, accuracy in all_of_them[::20]:
        assert any(p.avg_cost <= cost * 1.002 and p.accuracy >= accuracy - 0.002 for p in front)


@pytest.mark.parametrize("confidence", MEASURES)
def test_a_number_is_the_cutoff_of_every_exit(confidence):
    logits, y, costs, branches = outputs(3, 40, 4)
    opt = ThresholdOptimizer(cutoffs=0.6, confidence=confidence).fit(logits, y, costs, branch_costs=branches)
    (point,) = opt.front_
    assert point.cutoffs == (0.6, 0.6, 0.6, -np.inf)
    assert [(point.avg_cost, point.accuracy)] == points([(0.6,) * 3], confidence, logits, y, costs)
    (judged,) = opt.judge(logits, y)
    assert (judged.accuracy, judged.avg_cost) == pytest.approx((point.accuracy, point.avg_cost))
    assert opt.policy_.cutoffs == point.cutoffs


@pytest.mark.parametrize("confidence", MEASURES)
@pytest.mark.parametrize("seed", range(3))
def test_exits_that_must_stay_are_paid_for_and_tuned(seed, confidence):
    logits, y, costs, branches = outputs(seed, 12, 3)
    opt = ThresholdOptimizer(drop_exits=False, confidence=confidence).fit(logits, y, costs, branch_costs=branches)
    levels = [np.append(np.unique(column), 99.0) for column in measures.of_kept_exits(confidence, logits[:, :-1]).T]
    expected = points(itertools.product(*levels), confidence, logits, y, costs)
    np.testing.assert_allclose([(p.avg_cost, p.accuracy) for p in opt.front_], expected)
    assert np.isfinite(opt.front_.cutoffs[:, :-1]).all()
    for point in opt.front_:  # what a point says is what its policy does
        policy = opt.policy_of(point)
        assert (policy.predict(logits) == y).mean() == pytest.approx(point.accuracy)
        assert costs[policy.exits(logits)].mean() == pytest.approx(point.avg_cost)
    dropping = ThresholdOptimizer(confidence=confidence).fit(logits, y, costs, branch_costs=branches).front_
    assert dropping.avg_cost[0] <= opt.front_.avg_cost[0]


def test_where_nothing_is_to_leave_the_surest_input_stays_too():
    energies = np.arange(1.0, 11.0)
    logits = np.full((10, 2, 2), -50.0)
    logits[:, 0, 0] = energies
    logits[:, 1, 0] = 1.0
    y = np.zeros(10, dtype=int)
    logits[-1, 0] = [-50.0, energies[-1]]  # the surest of all is wrong at the first exit
    opt = ThresholdOptimizer(drop_exits=False, confidence="energy", min_accuracy=1.0).fit(logits, y, [10.0, 100.0])
    assert (opt.predict(logits) == y).all()
    assert opt.chosen_.avg_cost == pytest.approx(np.array([10.0, 100.0])[opt.exits(logits)].mean())


def test_learned_confidence_takes_them_too():
    logits, y, costs, branches = outputs(0, 200, 3)
    for given in ({"cutoffs": "shared"}, {"cutoffs": 0.0}, {"drop_exits": False}):
        opt = ThresholdOptimizer(confidence="learned", **given).fit(logits, y, costs, branch_costs=branches)
        assert len(opt.front_)
        assert opt.policy_.kept == (0, 1, 2)
        assert opt.predict(logits).shape == (200,)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"cutoffs": "fixed"}, "cutoffs: 'fixed' is not possible; tuned, shared or a number is"),
        ({"cutoffs": float("nan")}, "cutoffs: nan is not possible"),
        ({"cutoffs": np.inf}, "cutoffs: inf is not possible"),
        ({"cutoffs": True}, "cutoffs: True is not possible"),
        ({"cutoffs": [0.5, 0.6]}, "cutoffs: "),
        ({"cutoffs": "shared", "guarantee": Guarantee(max_drop=0.1)}, "guarantee: it needs tuned cutoffs"),
        ({"drop_exits": False, "guarantee": Guarantee(max_drop=0.1)}, "guarantee: it needs tuned cutoffs"),
    ],
)
def test_what_is_not_possible_is_said(given, sentence):
    logits, y, costs, _ = outputs(0, 20, 3)
    with pytest.raises(ValueError, match=sentence):
        ThresholdOptimizer(**given).fit(logits, y, costs)
