from __future__ import annotations

import doctest
import itertools
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_earlyexit import ExitPolicy, ThresholdOptimizer
from nni_earlyexit.thresholds import confidence as measures
from nni_earlyexit.thresholds import optimizer
from nni_earlyexit.thresholds.operating_point import Unreachable
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.utils import estimator_html_repr

OUTPUTS = Path(__file__).parents[3] / "shared" / "data" / "exit_outputs" / "cifar10_resnet_4exits.npz"
PER_EXIT = sorted(measures.MEASURES)
UNFITTED = sorted({**measures.MEASURES, **measures.SEQUENTIAL})


def outputs(seed, inputs, exits, classes=3, ties=True):
    """Logits, classes, costs and branch costs."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(inputs, exits, classes))
    if ties:
        logits = logits.round(0)
    segments, branches = rng.integers(1, 9, exits), rng.integers(0, 4, exits)
    costs = np.cumsum(segments + branches).astype(float)
    return logits, rng.integers(0, classes, inputs), costs, branches.astype(float)


def loop(policy, logits, scores, weights, costs, branch_costs):
    """Mean score, mean cost and shares of a policy, input by input."""
    right, spent, left = 0.0, 0.0, [0.0] * len(costs)
    for i in range(len(logits)):
        seen, saved = [], 0.0
        for k in range(len(costs)):
            if policy.cutoffs[k] == math.inf:
                saved += branch_costs[k]
                continue
            seen.append(logits[i, k])
            if k == len(costs) - 1:
                break
            if measures.of_kept_exits(policy.confidence, np.array([seen]))[0, -1] >= policy.cutoffs[k]:
                break
        right += weights[i] * scores[i, k]
        spent += weights[i] * (costs[k] - saved)
        left[k] += weights[i]
    total = sum(weights)
    return right / total, spent / total, [n / total for n in left]


def brute_force(logits, y, costs, branch_costs, confidence="max_prob"):
    """The trade-off of every vector of cutoffs there is: (average cost, accuracy), cheapest first."""
    exits = logits.shape[1]
    every = measures.of_kept_exits(confidence, logits)
    levels = [np.append(np.unique(every[:, k]), math.inf) for k in range(exits - 1)]
    points = set()
    for cutoffs in itertools.product(*levels):
        policy = ExitPolicy((*map(float, cutoffs), -math.inf), confidence)
        cost = np.array(policy.costs_without_dropped(costs, branch_costs))[policy.exits(logits)].mean()
        points.add((cost, (policy.predict(logits) == y).mean()))
    front, best = [], -1.0
    for cost, accuracy in sorted(points, key=lambda point: (round(point[0], 9), -point[1])):
        if accuracy > best:
            front.append((cost, accuracy))
            best = accuracy
    return front


def covers(front, points):
    """Whether for every one of ``points`` some policy of ``front`` is as good in both."""
    return all(
        any(p.avg_cost <= cost + 1e-9 and p.accuracy >= accuracy - 1e-9 for p in front) for cost, accuracy in points
    )


class TestFront:
    @pytest.mark.parametrize("exits", [1, 2, 3, 4])
    @pytest.mark.parametrize("ties", [True, False])
    @pytest.mark.parametrize("branches", [True, False])
    @pytest.mark.parametrize("seed", range(3))
    def test_it_is_that_of_every_vector_of_cutoffs(self, exits, ties, branches, seed):
        logits, y, costs, branch_costs = outputs(seed, 11, exits, ties=ties)
        saved = branch_costs if branches else np.zeros(exits)
        front = ThresholdOptimizer().fit(logits, y, costs, branch_costs=branch_costs if branches else None).front_
        np.testing.assert_allclose([(p.avg_cost, p.accuracy) for p in front], brute_force(logits, y, costs, saved))

    @pytest.mark.parametrize("seed", range(3))
    def test_patience_is_searched_over_every_set_of_kept_exits(self, seed):
        logits, y, costs, branch_costs = outputs(seed, 12, 4)
        front = ThresholdOptimizer(confidence="patience").fit(logits, y, costs, branch_costs=branch_costs).front_
        found = set()
        for cutoffs in itertools.product([math.inf, 0.0, 1.0, 2.0, 3.0], repeat=3):
            policy = ExitPolicy((*cutoffs, -math.inf), "patience")
            cost = np.array(policy.costs_without_dropped(costs, branch_costs))[policy.exits(logits)].mean()
            found.add((cost, (policy.predict(logits) == y).mean()))
        assert covers(front, found)

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(0, 10**6),
        st.integers(1, 30),
        st.integers(1, 4),
        st.sampled_from(UNFITTED),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
    def test_every_reported_point_equals_a_plain_loop_over_the_inputs(
        self, seed, inputs, exits, confidence, branches, weighted, scored
    ):
        logits, y, costs, branch_costs = outputs(seed, inputs, exits)
        rng = np.random.default_rng(seed)
        weights = rng.random(inputs) + 0.1 if weighted else np.ones(inputs)
        scores = rng.normal(size=(inputs, exits)) if scored else (logits.argmax(axis=-1) == y[:, None]).astype(float)
        opt = ThresholdOptimizer(confidence=confidence).fit(
            logits,
            y,
            costs,
            branch_costs=branch_costs if branches else None,
            sample_weight=weights if weighted else None,
            scores=scores if scored else None,
        )
        for point in opt.front_:
            policy = opt.policy_of(point)
            saved = branch_costs if branches else np.zeros(exits)
            accuracy, avg_cost, shares = loop(policy, logits, scores, weights, costs, saved)
            assert point.accuracy == pytest.approx(accuracy)
            assert point.avg_cost == pytest.approx(avg_cost)
            assert point.shares == pytest.approx(shares)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 10**6), st.floats(0.001, 1000), st.sampled_from(UNFITTED))
    def test_order_of_inputs_and_scale_of_costs_do_not_matter(self, seed, scale, confidence):
        logits, y, costs, branches = outputs(seed, 20, 3)
        opt = ThresholdOptimizer(confidence=confidence)
        front = opt.fit(logits, y, costs, branch_costs=branches).front_
        order = np.random.default_rng(seed).permutation(20)
        other = opt.fit(logits[order], y[order], costs * scale, branch_costs=branches * scale).front_
        # of policies that tie in both, either may stand on the front
        assert front.accuracy.tolist() == other.accuracy.tolist()
        assert (front.avg_cost * scale).tolist() == pytest.approx(other.avg_cost.tolist())

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 10**6), st.integers(2, 4), st.sampled_from(PER_EXIT), st.data())
    def test_adding_an_exit_never_worsens_it(self, seed, exits, confidence, data):
        logits, y, costs, branches = outputs(seed, 15, exits)
        without = data.draw(st.integers(0, exits - 2))
        rest = [exit for exit in range(exits) if exit != without]
        less = (costs - np.where(np.arange(exits) > without, branches[without], 0))[rest]
        opt = ThresholdOptimizer(confidence=confidence)
        small = opt.fit(logits[:, rest], y, less, branch_costs=branches[rest]).front_
        large = opt.fit(logits, y, costs, branch_costs=branches).front_
        assert covers(large, [(p.avg_cost, p.accuracy) for p in small])

    def test_it_is_strictly_increasing_in_cost_and_accuracy(self):
        logits, y, costs, _ = outputs(0, 200, 4, ties=False)
        front = ThresholdOptimizer().fit(logits, y, costs).front_
        assert all(a.avg_cost < b.avg_cost and a.accuracy < b.accuracy for a, b in itertools.pairwise(front))

    def test_an_input_as_sure_as_the_cutoff_leaves(self):
        logits = np.array([[[1.0, 0], [0, 1]], [[1, 0], [0, 1]]])  # the same confidence twice
        front = ThresholdOptimizer().fit(logits, [0, 0], [1, 2]).front_
        assert [(p.accuracy, p.shares) for p in front] == [(1.0, (1.0, 0.0))]
        assert front[0].cutoffs[0] == measures.max_prob(logits[0, 0])

    def test_an_exit_that_does_not_pay_is_dropped(self):
        rng = np.random.default_rng(0)
        y = rng.integers(0, 3, 300)
        useless, good = rng.normal(size=(300, 3)), 5 * np.eye(3)[y] + rng.normal(size=(300, 3))
        logits = np.stack([useless, good, good], axis=1)
        opt = ThresholdOptimizer().fit(logits, y, [5, 12, 30], branch_costs=[4, 2, 1])
        assert opt.chosen_.cutoffs[0] == math.inf
        assert opt.chosen_.avg_cost <= 30 - 4
        kept = ThresholdOptimizer().fit(logits, y, [5, 12, 30])
        assert kept.point_at(min_accuracy=opt.chosen_.accuracy).avg_cost > opt.chosen_.avg_cost + 3

    @pytest.mark.parametrize("exits", [13, 40])
    def test_more_exits_than_subsets_can_be_tried_for_give_true_points_too(self, exits):
        logits, y, costs, branches = outputs(0, 60, exits, ties=False)
        for confidence in ("max_prob", "patience"):
            opt = ThresholdOptimizer(confidence=confidence).fit(logits, y, costs, branch_costs=branches)
            for point in opt.front_:
                exits = opt.policy_of(point).exits(logits)
                paid = np.array(opt.policy_of(point).costs_without_dropped(costs, branches))
                assert paid[exits].mean() == pytest.approx(point.avg_cost)
            assert opt.front_[-1].accuracy >= (logits[:, -1].argmax(axis=-1) == y).mean()

    def test_it_is_a_sequence_with_columns(self):
        logits, y, costs, _ = outputs(0, 50, 3)
        front = ThresholdOptimizer().fit(logits, y, costs).front_
        assert [p.accuracy for p in front] == front.accuracy.tolist()
        assert front[-1].cutoffs == tuple(front.cutoffs[-1])
        assert len(front[front.accuracy >= front[-1].accuracy]) == 1
        assert f"Front of {len(front)} policies" in repr(front)
        assert front[0].to_dict()["cutoffs"][-1] is None


@pytest.fixture(scope="module")
def data():
    """Three exits, each better than the one before."""
    logits, y, costs, _ = outputs(3, 200, 3, ties=False)
    return logits + np.array([0.5, 1.0, 2.0])[:, None] * np.eye(3)[y][:, None], y, costs


@pytest.fixture(scope="module")
def fitted(data):
    return ThresholdOptimizer().fit(*data)


class TestGoals:
    def test_budget_alone_is_spent_on_accuracy(self, data, fitted):
        limit = fitted.front_[-1].avg_cost * 0.9
        chosen = ThresholdOptimizer(max_cost=limit).fit(*data).chosen_
        assert chosen == [p for p in fitted.front_ if p.avg_cost <= limit][-1]

    def test_larger_budgets_are_never_worse(self, fitted):
        limits = np.linspace(fitted.front_[0].avg_cost, fitted.front_[-1].avg_cost, 20)
        accuracies = [fitted.point_at(max_cost=limit).accuracy for limit in limits]
        assert accuracies == sorted(accuracies)

    def test_nothing_given_means_the_cheapest_within_half_a_point_of_the_best(self, fitted):
        best = fitted.front_[-1].accuracy
        assert fitted.chosen_ == next(p for p in fitted.front_ if p.accuracy >= best - 0.005)

    def test_drop_is_from_the_last_exit(self, data, fitted):
        logits, y, _ = data
        last = (logits[:, -1].argmax(axis=-1) == y).mean()
        assert fitted.single_exit_accuracies_[-1] == pytest.approx(last)
        chosen = ThresholdOptimizer(max_drop=0.03).fit(*data).chosen_
        assert chosen == next(p for p in fitted.front_ if p.accuracy >= last - 0.03)

    def test_tolerance_is_from_the_best_within_the_budget(self, data, fitted):
        limit = fitted.front_[len(fitted.front_) // 2].avg_cost
        chosen = ThresholdOptimizer(max_cost=limit, tolerance=0.03).fit(*data).chosen_
        affordable = [p for p in fitted.front_ if p.avg_cost <= limit]
        assert chosen == next(p for p in affordable if p.accuracy >= affordable[-1].accuracy - 0.03)

    def test_least_cost_with_an_accuracy(self, fitted):
        middle = fitted.front_[len(fitted.front_) // 2]
        assert fitted.point_at(min_accuracy=middle.accuracy) == middle

    @pytest.mark.parametrize(("weight", "position"), [(0.0, -1), (1000.0, 0)])
    def test_weight_is_between_accuracy_and_cost(self, fitted, weight, position):
        assert fitted.point_at(weight=weight) == fitted.front_[position]

    def test_the_knee_lies_farthest_above_the_line_between_the_ends(self, fitted):
        front, knee = fitted.front_, fitted.point_at(knee=True)
        a, b = front[0], front[-1]

        def above(p):
            return (p.accuracy - a.accuracy) / (b.accuracy - a.accuracy) - (p.avg_cost - a.avg_cost) / (
                b.avg_cost - a.avg_cost
            )

        assert above(knee) == max(above(p) for p in front)
        assert front[0].avg_cost < knee.avg_cost < front[-1].avg_cost

    def test_the_policy_gives_the_chosen_point(self, data, fitted):
        logits, y, costs = data
        assert (fitted.predict(logits) == y).mean() == pytest.approx(fitted.chosen_.accuracy)
        assert costs[fitted.exits(logits)].mean() == pytest.approx(fitted.chosen_.avg_cost)
        assert fitted.policy_ == ExitPolicy(fitted.chosen_.cutoffs)

    def test_another_point_needs_no_other_fit(self, data, fitted):
        limit = fitted.front_[3].avg_cost
        assert fitted.policy_at(max_cost=limit) == ThresholdOptimizer(max_cost=limit).fit(*data).policy_

    def test_a_goal_that_cannot_be_met_names_the_closest_point(self, data, fitted):
        with pytest.raises(
            Unreachable, match=r"min_accuracy: 0.99 cannot be met; the most accurate policy reaches"
        ) as e:
            ThresholdOptimizer(min_accuracy=0.99).fit(*data)
        assert e.value.closest == fitted.front_[-1]

    def test_goals_that_contradict_each_other_are_refused_with_what_it_would_cost(self, data, fitted):
        middle, best = fitted.front_[5], fitted.front_[-1].accuracy
        with pytest.raises(Unreachable, match="cannot be met within max_cost .*; it costs") as error:
            ThresholdOptimizer(max_cost=middle.avg_cost, min_accuracy=best).fit(*data)
        assert error.value.closest == middle


class TestScoring:
    def test_a_weight_is_worth_as_many_equal_inputs(self):
        logits, y, costs, branches = outputs(1, 40, 3, ties=False)
        times = np.random.default_rng(0).integers(0, 4, 40)
        front = ThresholdOptimizer().fit(logits, y, costs, branch_costs=branches, sample_weight=times).front_
        again = np.repeat(np.arange(40), times)
        other = ThresholdOptimizer().fit(logits[again], y[again], costs, branch_costs=branches).front_
        np.testing.assert_allclose(front.accuracy, other.accuracy)
        np.testing.assert_allclose(front.avg_cost, other.avg_cost)

    @pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
    def test_balanced_accuracy_is_the_mean_over_the_classes(self):
        from sklearn.metrics import balanced_accuracy_score

        logits, y, costs, _ = outputs(1, 90, 3)
        y = np.where(y == 2, 0, y)
        opt = ThresholdOptimizer(scoring="balanced_accuracy").fit(logits, y, costs)
        for point in opt.front_:
            predicted = opt.policy_of(point).predict(logits)
            assert point.accuracy == pytest.approx(balanced_accuracy_score(y, predicted))

    def test_a_matrix_says_what_each_mistake_is_worth(self):
        logits, y, costs, _ = outputs(2, 60, 3)
        matrix = np.array([[1.0, -5, 0], [0, 1, 0], [0, 0, 3]])
        opt = ThresholdOptimizer(scoring=matrix).fit(logits, y, costs)
        assert opt.chosen_.accuracy == pytest.approx(matrix[y, opt.predict(logits)].mean())

    def test_scores_of_every_input_and_exit_need_no_classes(self):
        logits, _, costs, _ = outputs(2, 60, 3)
        scores = np.random.default_rng(0).normal(size=(60, 3))
        opt = ThresholdOptimizer().fit(logits, None, costs, scores=scores)
        assert opt.chosen_.accuracy == pytest.approx(scores[np.arange(60), opt.exits(logits)].mean())


class TestMeasures:
    def test_temperatures_make_the_probabilities_most_likely(self):
        rng = np.random.default_rng(0)
        right = rng.normal(size=(2000, 2, 4))
        y = np.array([rng.choice(4, p=np.exp(z) / np.exp(z).sum()) for z in right[:, 0]])
        logits = right * np.array([3.0, 0.5])[:, None]  # over- and underconfident
        logits[:, 1] = right[:, 0] * 0.5
        opt = ThresholdOptimizer(temperature_scaling=True).fit(logits, y, [1, 2])
        assert opt.temperatures_ == pytest.approx([3.0, 0.5], rel=0.1)
        assert opt.policy_.temperatures == opt.temperatures_
        assert opt.chosen_.accuracy == pytest.approx((opt.predict(logits) == y).mean())

    def test_the_learned_measure_sees_which_exits_agree(self):
        """Two exits that are both never sure, and right where they agree: no function of one exit's output can tell."""
        rng = np.random.default_rng(0)
        y = rng.integers(0, 5, 3000)
        guesses = [np.where(rng.random(3000) < 0.6, y, rng.integers(0, 5, 3000)) for _ in range(2)]
        logits = np.stack([*(np.eye(5)[guess] for guess in guesses), 5 * np.eye(5)[y]], axis=1)
        logits += rng.normal(0, 0.01, logits.shape)
        half = slice(0, 1500), slice(1500, 3000)
        budget, accuracy = 60.0, {}
        for confidence in ("max_prob", "learned"):
            opt = ThresholdOptimizer(max_cost=budget, confidence=confidence).fit(
                logits[half[0]], y[half[0]], [10, 20, 100]
            )
            accuracy[confidence] = (opt.predict(logits[half[1]]) == y[half[1]]).mean()
        assert accuracy["learned"] > accuracy["max_prob"] + 0.03
        assert opt.policy_.confidence_macs > 0

    def test_cross_fitted_accuracy_is_not_that_of_the_data_that_the_models_saw(self):
        """On noise there is nothing to learn; what is reported must not pretend that there is."""
        rng = np.random.default_rng(0)
        logits, y = rng.normal(size=(400, 3, 5)), rng.integers(0, 5, 400)
        opt = ThresholdOptimizer(confidence="learned").fit(logits, y, [1, 2, 3])
        other = rng.normal(size=(20_000, 3, 5))
        found = opt.judge(other, rng.integers(0, 5, 20_000))
        assert opt.front_.accuracy.max() < 0.29  # the selection of cutoffs alone
        assert found.accuracy.mean() == pytest.approx(0.2, abs=0.01)

    @pytest.mark.parametrize("exits", [4, 6])
    def test_the_learned_measure_is_searched_with_dropped_exits(self, exits):
        logits, y, costs, branches = outputs(0, 300, exits, ties=False)
        opt = ThresholdOptimizer(confidence="learned").fit(logits, y, costs, branch_costs=branches)
        for point in opt.front_[:: len(opt.front_) // 10 + 1]:
            policy = opt.policy_of(point)
            assert ExitPolicy.from_dict(policy.to_dict()) == policy
            assert set(policy.exits(logits)) <= set(policy.kept)


class TestScikitLearn:
    def test_it_is_an_estimator(self):
        opt = ThresholdOptimizer(max_cost=5, confidence="margin")
        copy = clone(opt).set_params(max_cost=6)
        assert copy.get_params() == {**opt.get_params(), "max_cost": 6}
        assert repr(opt) == "ThresholdOptimizer(confidence='margin', max_cost=5)"
        assert "ThresholdOptimizer" in estimator_html_repr(opt)
        assert is_classifier(opt)

    def test_parameters_are_stored_untouched_and_only_looked_at_in_fit(self):
        assert ThresholdOptimizer(max_cost="much").max_cost == "much"

    def test_fitting_again_with_other_parameters_forgets_the_first(self, data):
        opt = ThresholdOptimizer(confidence="learned").fit(*data)
        assert opt.set_params(confidence="max_prob").fit(*data).policy_ == ThresholdOptimizer().fit(*data).policy_

    @pytest.mark.parametrize("confidence", ["max_prob", "patience", "learned"])
    def test_it_is_cross_validated_as_any_classifier(self, data, confidence):
        logits, y, costs = data
        opt = ThresholdOptimizer(confidence=confidence)
        found = cross_validate(opt, logits, y, params={"costs": costs, "sample_weight": np.ones(len(y))}, cv=4)
        assert found["test_score"].shape == (4,)
        assert (found["test_score"] > 0.2).all()

    def test_fitted_names_and_pickles(self, data, fitted):
        assert fitted.n_exits_in_ == 3
        assert fitted.classes_.tolist() == [0, 1, 2]
        again = pickle.loads(pickle.dumps(fitted))  # of one's own making
        assert again.policy_ == fitted.policy_
        assert len(pickle.dumps(fitted)) < data[0].nbytes * 10

    def test_unfitted_use_is_refused(self):
        for use in ("predict", "exits"):
            with pytest.raises(NotFittedError):
                getattr(ThresholdOptimizer(), use)(GOOD[0])
        for use in (lambda o: o.policy_at(max_cost=1), lambda o: o.judge(GOOD[0], GOOD[1]), lambda o: o.plot()):
            with pytest.raises(NotFittedError):
                use(ThresholdOptimizer())

    def test_the_examples_of_its_documentation_run(self):
        found = doctest.testmod(optimizer)
        assert found.failed == 0
        assert found.attempted > 0

    def test_it_needs_neither_torch_nor_nni(self):
        code = """
import sys
class Absent:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("torch", "nni", "timm", "pymoo", "matplotlib"):
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
import numpy as np
from nni_earlyexit import ThresholdOptimizer
rng = np.random.default_rng(0)
logits, y = rng.normal(size=(300, 3, 4)), rng.integers(0, 4, 300)
for confidence in ("max_prob", "learned"):
    ThresholdOptimizer(confidence=confidence).fit(logits, y, [1, 2, 3], branch_costs=[.1, .1, .1]).predict(logits)
"""
        subprocess.run([sys.executable, "-c", code], check=True)


GOOD = outputs(0, 20, 3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"logits": GOOD[0][:, 0]}, r"logits: shape \(20, 3\) does not fit; \(inputs, exits, classes\) is needed"),
        ({"logits": GOOD[0][:0], "y": GOOD[1][:0]}, "logits: no inputs"),
        ({"logits": GOOD[0][..., :1]}, "logits: 1 classes"),
        ({"logits": np.where(GOOD[0] > 1, np.nan, GOOD[0])}, "logits: they hold NaN or infinite values"),
        ({"logits": np.where(GOOD[0] > 1, np.inf, GOOD[0])}, "logits: they hold NaN or infinite values"),
        ({"logits": GOOD[0].astype(str)}, "logits: .* are not numbers"),
        ({"logits": [[1, 2], [3]]}, "logits: they are no array of numbers"),
        ({"costs": ["a", "b", "c"]}, "costs: they are no array of numbers"),
        ({"sample_weight": ["a"] * 20}, "sample_weight: they are no array of numbers"),
        ({"y": GOOD[1][:7]}, r"y: shape \(7,\) does not fit 20 inputs"),
        ({"y": GOOD[1] + 1}, "y: classes must be integers from 0 to 2, found 1 to 3"),
        ({"y": GOOD[1].astype(float)}, "y: classes must be integers"),
        ({"y": None}, "y: classes .* are needed where no scores are given"),
        ({"costs": GOOD[2][:2]}, r"costs: shape \(2,\) does not fit 3 exits"),
        ({"costs": [3, 3, 4]}, r"costs: \[3.0, 3.0, 4.0\] must be positive and strictly increasing"),
        ({"costs": [0, 3, 4]}, "costs: .* positive"),
        ({"costs": [1, 3, np.nan]}, "costs: .* positive"),
        ({"branch_costs": [1, 1]}, r"branch_costs: shape \(2,\) does not fit 3 exits"),
        ({"branch_costs": [0, -1, 0]}, "branch_costs: .* must be numbers from 0"),
        (
            {"costs": [5, 6, 9], "branch_costs": [1, 2, 1]},
            "branch_costs: 2 of exit 1 is more than the 1 that costs add",
        ),
        ({"sample_weight": np.ones(3)}, r"sample_weight: shape \(3,\) does not fit 20 inputs"),
        ({"sample_weight": -np.ones(20)}, "sample_weight: numbers from 0 are needed"),
        ({"sample_weight": np.zeros(20)}, "sample_weight: .* not all of them 0"),
        ({"scores": np.ones((20, 2))}, r"scores: shape \(20, 2\) does not fit; \(20, 3\)"),
        ({"scores": np.full((20, 3), np.nan)}, "scores: they hold NaN"),
        ({"guarantee_data": {}}, "guarantee_data: it is given, but no guarantee is"),
    ],
)
def test_bad_data_get_one_sentence(change, sentence):
    arguments = {"logits": GOOD[0], "y": GOOD[1], "costs": GOOD[2], **change}
    with pytest.raises(ValueError, match=f"^{sentence}"):
        ThresholdOptimizer().fit(**arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"max_cost": 0.5}, r"max_cost: 0.5 cannot be met; the cheapest policy costs \d"),
        ({"max_cost": 0}, "max_cost: 0 is not possible; a positive number is"),
        ({"max_cost": "5M"}, "max_cost: '5M' is not possible"),
        ({"min_accuracy": 1.0}, "min_accuracy: 1.0 cannot be met; the most accurate policy reaches"),
        ({"min_accuracy": math.nan}, "min_accuracy: nan is not possible"),
        ({"max_drop": -0.1}, "max_drop: -0.1 is not possible; a number from 0 is"),
        ({"tolerance": math.inf}, "tolerance: inf is not possible"),
        ({"weight": math.nan}, "weight: nan is not possible"),
        ({"knee": "yes"}, "knee: 'yes' is not possible"),
        ({"weight": 1, "max_drop": 0.1}, "max_drop and weight: only one"),
        ({"knee": True, "max_drop": 0.1}, "max_drop and knee: only one"),
        ({"confidence": "max_probability"}, "confidence: 'max_probability' is unknown; did you mean 'max_prob'"),
        ({"scoring": "acuracy"}, "scoring: 'acuracy' is unknown; did you mean 'accuracy'"),
        ({"scoring": np.ones((2, 2))}, r"scoring: a matrix of shape \(2, 2\) does not fit; \(3, 3\)"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        ThresholdOptimizer(**arguments).fit(*GOOD[:3])


def test_outputs_of_another_number_of_exits_are_refused():
    opt = ThresholdOptimizer().fit(*GOOD[:3])
    with pytest.raises(ValueError, match=r"logits: shape \(20, 2, 3\) does not fit"):
        opt.predict(GOOD[0][:, :2])
    with pytest.raises(ValueError, match="logits: 2 exits do not fit the 3 seen in fit"):
        opt.judge(GOOD[0][:, :2], GOOD[1])


@pytest.mark.skipif(not OUTPUTS.is_file(), reason="needs the outputs of a CIFAR-10 network")
def test_on_a_real_network_it_is_as_good_as_exhaustive_search():
    with np.load(OUTPUTS) as data:
        logits, y, costs = data["calibration_logits"], data["calibration_labels"], data["exit_costs"]
    front = ThresholdOptimizer().fit(logits, y, costs).front_
    base = (logits[:, 0].argmax(axis=-1) == y).mean()
    better = front[front.accuracy > base]
    cost = np.append((better.avg_cost - costs[0]) / (costs[-1] - costs[0]), 1.0)
    # 100 quantiles on two cutoffs with the third swept reach 0.47627
    assert (np.diff(cost) * (better.accuracy - base) / (1 - base)).sum() >= 0.47627


@pytest.mark.parametrize("bad", ["costs", "goal"])
def test_a_fit_that_fails_leaves_the_optimizer_as_it_was(bad):
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(60, 3, 4)), rng.integers(0, 4, 60)
    opt = ThresholdOptimizer().fit(logits, y, [1, 2, 3])
    before = {name: value for name, value in vars(opt).items() if name.endswith("_")}
    other = {"costs": [2, 1], "goal": [1, 2]}[bad]
    opt.set_params(min_accuracy=None if bad == "costs" else 1.1)
    with pytest.raises(ValueError, match="costs|min_accuracy"):
        opt.fit(logits[:, :2], y, other)
    assert all(getattr(opt, name) is value for name, value in before.items())
    assert opt.predict(logits).shape == (60,)
