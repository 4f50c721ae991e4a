from __future__ import annotations

import doctest
import itertools
import math
from pathlib import Path

import nni_earlyexit.thresholds
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_earlyexit import ExitPolicy, ThresholdOptimizer
from nni_earlyexit import confidence as measures
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

OUTPUTS = Path(__file__).parents[3] / "shared" / "data" / "exit_outputs" / "cifar10_resnet_4exits.npz"


def outputs(seed, inputs, exits, classes=3, ties=True):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(inputs, exits, classes))
    if ties:
        logits = logits.round(0)
    return logits, rng.integers(0, classes, inputs), np.cumsum(rng.integers(1, 9, exits)).astype(float)


def judge(policy, logits, y, costs):
    """Accuracy, average cost and shares by a plain loop over inputs."""
    right, spent, left = 0, 0.0, [0] * len(costs)
    for i in range(len(y)):
        for k in range(len(costs)):
            sure = measures.get(policy.confidence)(logits[i, k])
            if sure >= policy.cutoffs[k]:
                break
        right += int(logits[i, k].argmax() == y[i])
        spent += costs[k]
        left[k] += 1
    return right / len(y), spent / len(y), [n / len(y) for n in left]


def brute_force(logits, y, costs, confidence="max_prob"):
    """The trade-off of every vector of cutoffs there is: (average cost, accuracy), cheapest first."""
    exits = logits.shape[1]
    levels = [np.append(np.unique(measures.get(confidence)(logits[:, k])), math.inf) for k in range(exits - 1)]
    points = set()
    for cutoffs in itertools.product(*levels):
        policy = ExitPolicy((*map(float, cutoffs), -math.inf), confidence)
        points.add((costs[policy.exits(logits)].mean(), (policy.predict(logits) == y).mean()))
    front, best = [], -1.0
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if accuracy > best:
            front.append((cost, accuracy))
            best = accuracy
    return front


@pytest.mark.parametrize("exits", [1, 2, 3, 4])
@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_the_front_is_that_of_every_vector_of_cutoffs(exits, ties, seed):
    logits, y, costs = outputs(seed, 11, exits, ties=ties)
    front = ThresholdOptimizer().fit(logits, y, costs).front_
    np.testing.assert_allclose([(p.avg_cost, p.accuracy) for p in front], brute_force(logits, y, costs))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 4), st.sampled_from(sorted(measures.MEASURES)))
def test_every_reported_point_equals_a_plain_loop_over_the_inputs(seed, inputs, exits, confidence):
    logits, y, costs = outputs(seed, inputs, exits)
    for point in ThresholdOptimizer(confidence=confidence).fit(logits, y, costs).front_:
        accuracy, avg_cost, shares = judge(ExitPolicy(point.cutoffs, confidence), logits, y, costs)
        assert point.accuracy == pytest.approx(accuracy)
        assert point.avg_cost == pytest.approx(avg_cost)
        assert point.shares == pytest.approx(shares)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.001, 1000))
def test_order_of_inputs_and_scale_of_costs_do_not_matter(seed, scale):
    logits, y, costs = outputs(seed, 20, 3)
    front = ThresholdOptimizer().fit(logits, y, costs).front_
    order = np.random.default_rng(seed).permutation(20)
    other = ThresholdOptimizer().fit(logits[order], y[order], costs * scale).front_
    # of policies that tie in both, either may stand on the front
    assert [p.accuracy for p in front] == [p.accuracy for p in other]
    assert [p.avg_cost * scale for p in front] == pytest.approx([p.avg_cost for p in other])


def test_the_front_is_strictly_increasing_in_cost_and_accuracy():
    front = ThresholdOptimizer().fit(*outputs(0, 200, 4, ties=False)).front_
    assert all(a.avg_cost < b.avg_cost and a.accuracy < b.accuracy for a, b in itertools.pairwise(front))


def test_more_levels_than_allowed_are_thinned_out_and_still_give_true_points():
    logits, y, costs = outputs(0, 300, 4, ties=False)
    thin = ThresholdOptimizer(max_levels=5).fit(logits, y, costs)
    full = ThresholdOptimizer(max_levels=400).fit(logits, y, costs)
    assert len(thin.front_) < len(full.front_)
    for point in thin.front_:
        assert any(p.avg_cost <= point.avg_cost and p.accuracy >= point.accuracy for p in full.front_)


@pytest.fixture(scope="module")
def data():
    return outputs(3, 200, 3, ties=False)


class TestGoals:
    def affordable(self, data, limit=math.inf):
        return [p for p in ThresholdOptimizer().fit(*data).front_ if p.avg_cost <= limit]

    def test_budget_alone_is_spent_on_accuracy(self, data):
        limit = self.affordable(data)[-1].avg_cost * 0.9
        chosen = ThresholdOptimizer(max_cost=limit).fit(*data).chosen_
        assert chosen == self.affordable(data, limit)[-1]

    def test_larger_budgets_are_never_worse(self, data):
        front = self.affordable(data)
        limits = np.linspace(front[0].avg_cost, front[-1].avg_cost, 20)
        accuracies = [ThresholdOptimizer(max_cost=limit).fit(*data).chosen_.accuracy for limit in limits]
        assert accuracies == sorted(accuracies)

    def test_nothing_given_means_the_cheapest_within_half_a_point_of_the_best(self, data):
        front = self.affordable(data)
        expected = next(p for p in front if p.accuracy >= front[-1].accuracy - 0.005)
        assert ThresholdOptimizer().fit(*data).chosen_ == expected

    def test_drop_is_from_the_best_within_the_budget(self, data):
        front = self.affordable(data)
        limit = front[len(front) // 2].avg_cost
        chosen = ThresholdOptimizer(max_cost=limit, max_drop=0.03).fit(*data).chosen_
        affordable = self.affordable(data, limit)
        assert chosen == next(p for p in affordable if p.accuracy >= affordable[-1].accuracy - 0.03)

    def test_least_cost_with_an_accuracy(self, data):
        front = self.affordable(data)
        wanted = front[len(front) // 2].accuracy
        assert ThresholdOptimizer(min_accuracy=wanted).fit(*data).chosen_ == front[len(front) // 2]

    @pytest.mark.parametrize(("weight", "position"), [(0.0, -1), (1000.0, 0)])
    def test_weight_is_between_accuracy_and_cost(self, data, weight, position):
        assert ThresholdOptimizer(weight=weight).fit(*data).chosen_ == self.affordable(data)[position]

    def test_the_policy_gives_the_chosen_point(self, data):
        logits, y, costs = data
        opt = ThresholdOptimizer().fit(logits, y, costs)
        assert (opt.predict(logits) == y).mean() == pytest.approx(opt.chosen_.accuracy)
        assert costs[opt.exits(logits)].mean() == pytest.approx(opt.chosen_.avg_cost)
        assert opt.policy_ == ExitPolicy(opt.chosen_.cutoffs)


def test_it_is_a_scikit_learn_estimator():
    opt = ThresholdOptimizer(max_cost=5, confidence="margin")
    copy = clone(opt).set_params(max_cost=6)
    assert copy.get_params() == {**opt.get_params(), "max_cost": 6}
    assert "margin" in repr(copy)


def test_the_example_of_its_documentation_runs():
    assert doctest.testmod(nni_earlyexit.thresholds).failed == 0
    assert doctest.testmod(nni_earlyexit.thresholds).attempted > 0


GOOD = outputs(0, 20, 3)


@pytest.mark.parametrize(
    ("logits", "y", "costs", "sentence"),
    [
        (GOOD[0][:, 0], GOOD[1], GOOD[2], r"logits: shape \(20, 3\)"),
        (GOOD[0][:0], GOOD[1][:0], GOOD[2], "logits: no inputs"),
        (np.where(GOOD[0] > 1, np.nan, GOOD[0]), GOOD[1], GOOD[2], "logits: they hold NaN"),
        (np.zeros((20, 16, 3)), GOOD[1], np.arange(1, 17), "logits: 16 exits are too many"),
        (GOOD[0], GOOD[1][:7], GOOD[2], r"y: shape \(7,\)"),
        (GOOD[0], GOOD[1] + 1, GOOD[2], "y: classes must be integers from 0 to 2, found 1 to 3"),
        (GOOD[0], GOOD[1].astype(float), GOOD[2], "y: classes must be integers"),
        (GOOD[0], GOOD[1], GOOD[2][:2], r"costs: shape \(2,\) does not fit 3 exits"),
        (GOOD[0], GOOD[1], [3, 3, 4], "costs: .* strictly increasing"),
        (GOOD[0], GOOD[1], [0, 3, 4], "costs: .* positive"),
    ],
)
def test_bad_data_get_one_sentence(logits, y, costs, sentence):
    with pytest.raises(ValueError, match=sentence):
        ThresholdOptimizer().fit(logits, y, costs)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"max_cost": 0.5}, "max_cost: 0.5 is below"),
        ({"min_accuracy": 1.0}, "min_accuracy: 1.0 cannot be met; the most accurate policy reaches"),
        ({"min_accuracy": 1.5}, "min_accuracy: 1.5 is not possible"),
        ({"max_drop": -0.1}, "max_drop: -0.1 is not possible"),
        ({"weight": math.nan}, "weight: nan is not possible"),
        ({"weight": 1, "max_drop": 0.1}, "max_drop and weight: only one"),
        ({"confidence": "max_probability"}, "confidence: 'max_probability' is unknown; did you mean 'max_prob'"),
        ({"max_levels": 1}, "max_levels: 1 is too few"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        ThresholdOptimizer(**arguments).fit(*GOOD)


def test_unfitted_use_is_refused():
    with pytest.raises(NotFittedError):
        ThresholdOptimizer().predict(GOOD[0])


@pytest.mark.skipif(not OUTPUTS.is_file(), reason="needs the outputs of a CIFAR-10 network")
def test_on_a_real_network_it_is_as_good_as_exhaustive_search():
    with np.load(OUTPUTS) as data:
        logits, y, costs = data["calibration_logits"], data["calibration_labels"], data["exit_costs"]
    front = ThresholdOptimizer().fit(logits, y, costs).front_
    base = (logits[:, 0].argmax(axis=-1) == y).mean()
    better = [p for p in front if p.accuracy > base]
    cost = np.append([(p.avg_cost - costs[0]) / (costs[-1] - costs[0]) for p in better], 1.0)
    gain = np.array([(p.accuracy - base) / (1 - base) for p in better])
    # 100 quantiles on two cutoffs with the third swept reach 0.47627
    assert (np.diff(cost) * gain).sum() >= 0.4761
