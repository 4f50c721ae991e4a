from __future__ import annotations

import json

import numpy as np
import pytest
from nni_earlyexit import ThresholdOptimizer, diagnose

COSTS = [10, 20, 30]


def exits_that_are_right(shares, inputs=2000, seed=0, sure=4.0):
    """Logits of exits that are right for these shares of the inputs, the same inputs first, and as sure in any case."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, inputs)
    logits = rng.normal(0, 0.5, (inputs, len(shares), 3))
    for k, share in enumerate(shares):
        right = np.arange(inputs) < share * inputs
        logits[np.arange(inputs), k, np.where(right, y, (y + 1) % 3)] += sure
    return logits, y


def named(found, name):
    return [diagnostic for diagnostic in found if diagnostic.name == name]


def run(logits, y, **arguments):
    opt = ThresholdOptimizer(**arguments).fit(logits, y, COSTS)
    return opt, diagnose(opt, logits, y, COSTS)


def test_cutoffs_fitted_to_few_inputs_of_noise_promise_too_much():
    given = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        opt, (optimism, *_) = run(rng.normal(size=(60, 3, 3)), rng.integers(0, 3, 60), tolerance=0.0)
        assert optimism.numbers["inputs"] == 60
        assert optimism.concern == (optimism.numbers["accuracy"] > 0.01)
        given.append(opt.chosen_.accuracy - optimism.numbers["accuracy"])
    # what was promised less the optimism is what other inputs get: noise is right for a third
    assert np.mean(given) == pytest.approx(1 / 3, abs=0.03)


def test_many_inputs_leave_little_optimism():
    logits, y = exits_that_are_right([0.6, 0.8, 0.9])
    order = np.random.default_rng(0).permutation(2000)
    optimism = run(logits[order], y[order])[1][0]
    assert not optimism.concern
    assert abs(optimism.numbers["accuracy"]) < 0.01
    assert "fitted to 2000 inputs" in optimism.message


def test_an_exit_that_hardly_fires_is_named():
    logits, y = exits_that_are_right([0.1, 0.95, 0.95], sure=8.0)
    opt, found = run(logits, y, max_drop=0.0)
    idle = {diagnostic.exit: diagnostic.numbers["share"] for diagnostic in named(found, "idle_exit")}
    assert idle == {k: share for k, share in enumerate(opt.chosen_.shares) if share < 0.01}
    assert idle
    assert all(f"at exit {diagnostic.exit}" in diagnostic.message for diagnostic in named(found, "idle_exit"))


def test_an_exit_that_fires_and_is_wrong_is_named():
    logits, y = exits_that_are_right([0.5, 0.6, 1.0])
    opt, found = run(logits, y, max_cost=15)
    wrong = named(found, "wrong_exit")
    assert 0 in [diagnostic.exit for diagnostic in wrong]
    leaving = opt.exits(logits) == wrong[0].exit
    assert wrong[0].numbers["share"] == pytest.approx(leaving.mean())
    assert wrong[0].numbers["last_accuracy"] - wrong[0].numbers["accuracy"] > 0.05


def test_an_exit_worse_than_the_one_before_is_named_unless_it_is_noise():
    logits, y = exits_that_are_right([0.9, 0.8, 0.95])
    (weak,) = named(run(logits, y)[1], "weak_exit")
    assert weak.exit == 1
    assert (weak.numbers["accuracy"], weak.numbers["accuracy_before"]) == pytest.approx((0.8, 0.9))
    logits, y = exits_that_are_right([0.9, 0.8999, 0.95])
    assert named(run(logits, y)[1], "weak_exit") == []


def test_weights_are_honoured_and_the_findings_are_plain_data():
    logits, y = exits_that_are_right([0.9, 0.8, 0.95])
    opt = ThresholdOptimizer().fit(logits, y, COSTS)
    weights = (np.arange(2000) < 1600).astype(float)  # among these, every exit is right
    found = diagnose(opt, logits, y, COSTS, sample_weight=weights)
    assert named(found, "weak_exit") == []
    json.dumps([diagnostic.to_dict() for diagnostic in found], allow_nan=False)


@pytest.mark.parametrize("inputs", [1, 2, 4])
def test_a_handful_of_inputs_can_be_diagnosed(inputs):
    logits, y = exits_that_are_right([0.5, 0.6, 1.0], inputs)
    assert run(logits, y)[1][0].name == "optimism"


@pytest.mark.parametrize("goal", [{"min_accuracy": 0.9}, {"max_cost": 12.0, "min_accuracy": 0.5}])
def test_a_goal_that_a_part_of_the_data_cannot_meet_is_no_obstacle(goal):
    logits, y = exits_that_are_right([0.5, 0.6, 0.9], 40)
    assert run(logits, y, **goal)[1]
