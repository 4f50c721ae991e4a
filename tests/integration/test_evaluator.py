from __future__ import annotations

import dataclasses

import nni_earlyexit.integration.evaluator
import numpy as np
import pytest
import torch
from nni_earlyexit import EarlyExitEvaluator
from nni_earlyexit import data as data_sets
from nni_earlyexit.integration.trial_work import outcome
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.search import goal
from nni_earlyexit.search.metrics import (
    ALWAYS,
    EXIT_METRICS,
    METRICS,
    WITH_BANK,
    WITH_LATENCY,
    exit_metric,
    is_final,
    whole,
)
from nni_earlyexit.training import joint_loss as training


@pytest.fixture(scope="module")
def evaluator():
    return EarlyExitEvaluator(data="digits", epochs=2, threads=1)


def evaluate(evaluator, digits_space, sample):
    torch.manual_seed(0)
    return evaluator.evaluate(digits_space.freeze(sample))


@pytest.fixture(scope="module")
def result(evaluator, digits_space, two_exits):
    return evaluate(evaluator, digits_space, two_exits)


def test_training_learns(result):
    assert result.metrics["accuracy"] > 0.7
    assert result.metrics["exit3_accuracy"] > 0.7


def test_metrics_are_those_of_the_policy_on_the_validation_split(evaluator, result):
    validation = evaluator.data.validation
    logits = exit_logits(result.network, validation.x)
    np.testing.assert_array_equal(logits, result.validation.logits)
    exits = result.policy.exits(logits)
    costs = np.array(result.network.exit_costs)
    paid = np.array(result.policy.costs_without_dropped(costs, result.network.branch_costs))
    assert result.metrics["avg_macs"] == pytest.approx(paid[exits].mean())
    assert result.metrics["accuracy"] == pytest.approx((result.policy.predict(logits) == validation.y.numpy()).mean())
    assert result.metrics["full_macs"] == costs[-1]
    assert result.metrics["params"] == sum(p.numel() for p in result.network.parameters())
    assert result.metrics["exit0_share"] == pytest.approx((exits == 0).mean())
    assert result.metrics["exit3_share"] == pytest.approx((exits == 1).mean())
    assert result.metrics["exit0_cutoff"] in (result.policy.cutoffs[0], None)


def test_the_whole_trade_off_is_reported_within_the_limit(evaluator, digits_space, two_exits, result):
    front = result.metrics["front"]
    assert 1 <= len(front["accuracy"]) == len(front["avg_macs"]) <= 32
    assert all(np.diff(front["accuracy"]) > 0)
    assert all(np.diff(front["avg_macs"]) > 0)
    assert front["avg_macs"][0] <= result.metrics["avg_macs"] <= front["avg_macs"][-1]
    limit = (front["avg_macs"][0] + front["avg_macs"][-1]) / 2
    limited = EarlyExitEvaluator(data="digits", epochs=2, threads=1, max_avg_macs=limit)
    within = evaluate(limited, digits_space, two_exits).metrics["front"]["avg_macs"]
    assert within[0] == front["avg_macs"][0]
    assert front["avg_macs"][-2] > limit >= within[-1] >= max(macs for macs in front["avg_macs"] if macs <= limit)


def test_the_history_holds_the_metrics_of_each_epoch(result):
    assert len(result.history) == 2
    assert result.history[-1] == {name: result.metrics[name] for name in result.history[-1]}
    assert "front" not in result.history[-1]


def test_it_is_said_how_far_the_cutoffs_can_be_trusted(result):
    optimism, *concerns = result.diagnostics
    assert optimism.name == "optimism"
    assert result.metrics["optimism"] == optimism.numbers["accuracy"]
    assert result.metrics["concerns"] == sum(diagnostic.concern for diagnostic in result.diagnostics)
    assert all(diagnostic.concern for diagnostic in concerns)


def test_the_same_seed_gives_the_same_network(evaluator, digits_space, two_exits, result):
    again = evaluate(evaluator, digits_space, two_exits)
    seconds = {"train_seconds": 0}
    assert {**again.metrics, **seconds} == {**result.metrics, **seconds}
    for ours, theirs in zip(again.network.state_dict().values(), result.network.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_test_split_is_never_touched_and_nothing_depends_on_the_calibration_split(digits_space, two_exits):
    class Forbidden:
        def __getattribute__(self, name):
            raise AssertionError(f"the search looked at {name} of a split that it must not see")

    evaluator = EarlyExitEvaluator(data="digits", epochs=1, threads=1)
    evaluator.data = dataclasses.replace(evaluator.data, test=Forbidden())
    first = evaluate(evaluator, digits_space, two_exits)
    noise = data_sets.Split(torch.randn(7, 1, 8, 8), torch.zeros(7, dtype=torch.long))
    evaluator.data = dataclasses.replace(evaluator.data, calibration=noise)
    other = evaluate(evaluator, digits_space, two_exits)
    assert {**first.metrics, "train_seconds": 0} == {**other.metrics, "train_seconds": 0}
    assert first.policy == other.policy
    # its outputs are kept for fitting cutoffs after the search
    np.testing.assert_array_equal(other.calibration.logits, exit_logits(other.network, noise.x))


@pytest.mark.parametrize(
    ("limit", "costs", "exit"),
    [
        ("max_full_macs", "exit_costs", -1),
        ("max_avg_macs", "exit_costs", 0),
        ("max_params", "exit_params", -1),
        ("max_activation_bytes", "exit_activation_bytes", -1),
    ],
)
def test_a_network_over_a_limit_is_infeasible_by_the_amount_without_one_training_step(
    digits_space, two_exits, limit, costs, exit, monkeypatch
):
    monkeypatch.setattr(training.JointLoss, "training_step", lambda *args: pytest.fail("it was trained"))
    network = digits_space.freeze(two_exits)
    cost = getattr(network, costs)[exit]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = EarlyExitEvaluator(data="digits", **{limit: cost * 0.8}).evaluate(network)
    assert result.metrics["feasible"] == 0
    assert result.metrics["excess"] == pytest.approx(0.25)
    assert 0 < result.metrics["default"] < goal.BORDER
    assert result.policy is None
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_network_at_the_limit_is_trained_and_keeps_it(digits_space, two_exits):
    first, full = digits_space.exit_costs(two_exits)
    limit = (first + full) / 2
    evaluator = EarlyExitEvaluator(data="digits", epochs=1, max_avg_macs=limit, max_full_macs=full, threads=1)
    metrics = evaluate(evaluator, digits_space, two_exits).metrics
    assert metrics["feasible"] == 1
    assert metrics["avg_macs"] <= limit


def test_a_given_cutoff_that_is_over_a_limit_makes_a_network_infeasible(digits_space, two_exits):
    first, full = digits_space.exit_costs(two_exits)
    limit = first + 0.1 * (full - first)
    given = {"data": "digits", "epochs": 1, "threads": 1, "cutoffs": 2.0}
    result = evaluate(EarlyExitEvaluator(**given, max_avg_macs=limit), digits_space, two_exits)
    metrics = result.metrics
    assert (metrics["feasible"], metrics["epochs"], metrics["avg_macs"]) == (0, 1, full)
    assert [metrics["feasible"] for metrics in result.history] == [1], "it may still learn to keep the limit"
    assert metrics["front"] == {"accuracy": [], "avg_macs": []}
    assert metrics["excess"] == pytest.approx(full / limit - 1)
    assert 0 < metrics["default"] < goal.BORDER
    assert outcome(result).startswith("over the limits by ")
    free = evaluate(EarlyExitEvaluator(**given), digits_space, two_exits).metrics
    assert (list(free), free["feasible"], free["excess"]) == (list(metrics), 1, 0)


def test_every_network_reports_the_same_keys(evaluator, digits_space, result, rng):
    keys = list(result.metrics)
    quick = EarlyExitEvaluator(data="digits", epochs=1, max_full_macs=1, threads=1)
    for _ in range(5):
        infeasible = quick.evaluate(digits_space.freeze(digits_space.sample(rng))).metrics
        assert list(infeasible) == keys
    numbers = [name for name in keys if name not in ("sample", "front") and not name.endswith("_cutoff")]
    assert all(isinstance(result.metrics[name], (int, float)) for name in numbers)


def test_every_metric_is_in_the_schema_and_is_there_when_it_says(result):
    exits = {exit_metric(stage, name) for stage in range(4) for name in EXIT_METRICS}
    there = {name for name, metric in METRICS.items() if metric.when not in (WITH_LATENCY, WITH_BANK)}
    assert set(result.metrics) == there | exits
    early = {name for name in there if METRICS[name].when == ALWAYS}
    assert all(set(epoch) == early | exits for epoch in result.history)
    assert is_final(result.metrics)
    assert not is_final(result.history[-1])


def test_intermediate_results_are_reported_every_epoch_and_the_final_one_once(
    evaluator, digits_space, two_exits, monkeypatch
):
    intermediate, final = [], []
    monkeypatch.setattr(nni_earlyexit.integration.evaluator.nni, "get_current_parameter", lambda: {"some": "parameter"})
    monkeypatch.setattr(nni_earlyexit.integration.evaluator.nni, "report_intermediate_result", intermediate.append)
    monkeypatch.setattr(nni_earlyexit.integration.evaluator.nni, "report_final_result", final.append)
    monkeypatch.delenv("NNI_OUTPUT_DIR", raising=False)
    result = evaluate(evaluator, digits_space, two_exits)
    assert len(intermediate) == evaluator.settings.training.epochs
    assert list(map(whole, final)) == [result.metrics]
    assert list(map(whole, intermediate)) == result.history
    assert set(whole(intermediate[0])) == set(result.metrics) - {"train_seconds", "optimism", "concerns", "front"}


def test_training_ends_after_the_epoch_whose_report_somebody_judged(digits_space, two_exits, monkeypatch):
    evaluator = EarlyExitEvaluator(data="digits", epochs=3, batch_size=256, threads=1)
    monkeypatch.setattr(nni_earlyexit.integration.evaluator.nni, "get_current_parameter", lambda: {"some": "parameter"})
    monkeypatch.setattr(nni_earlyexit.integration.evaluator.nni, "report_final_result", lambda metrics: None)
    monkeypatch.delenv("NNI_OUTPUT_DIR", raising=False)

    def epochs_trained(judge):
        monkeypatch.setattr(nni_earlyexit.integration.evaluator.nni, "report_intermediate_result", judge)
        result = evaluate(evaluator, digits_space, two_exits)
        assert result.metrics["accuracy"] == result.history[-1]["accuracy"]
        assert [metrics["epochs"] for metrics in result.history] == list(range(1, result.metrics["epochs"] + 1))
        return result.metrics["epochs"]

    assert epochs_trained(lambda metrics: whole(metrics)["epochs"] == 2 and evaluator.end_training()) == 2
    assert epochs_trained(lambda metrics: None) == 3


def test_exit_weights_decide_which_exits_are_trained(digits_space, two_exits):
    def first_exit(weights):
        evaluator = EarlyExitEvaluator(data="digits", epochs=2, exit_weights=weights, threads=1)
        return evaluate(evaluator, digits_space, two_exits).metrics["exit0_accuracy"]

    assert first_exit([0, 0, 0, 1]) < 0.4 < first_exit([1, 0, 0, 1])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"epochs": 0}, "epochs: 0 is not possible; a whole number from 1 is"),
        ({"batch_size": 1}, "batch_size: 1 is not possible"),
        ({"learning_rate": 0}, "learning_rate: 0 is not possible"),
        ({"exit_weights": [-1, 1, 1, 1]}, "exit_weights: .* is not possible"),
        ({"data": "digit"}, "data: 'digit' is unknown; did you mean 'digits'"),
        ({"confidence": "maxprob"}, "confidence: 'maxprob' is unknown; did you mean 'max_prob'"),
        ({"max_avg_macs": -5}, "max_avg_macs: -5 is not possible"),
        ({"min_accuracy": 0.9, "weight": 1}, "min_accuracy and weight: only one"),
        ({"seed": -1}, "seed: -1 is not possible"),
        ({"threads": 0}, "threads: 0 is not possible"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        EarlyExitEvaluator(**arguments)


def test_exit_weights_for_another_number_of_stages_are_refused(digits_space, two_exits):
    with pytest.raises(ValueError, match="exit_weights: 2 given for 4 stages"):
        EarlyExitEvaluator(exit_weights=[1, 1]).evaluate(digits_space.freeze(two_exits))


def test_data_of_another_shape_are_refused(tmp_path, digits_space, two_exits):
    file = tmp_path / "other.npz"
    np.savez(file, x=np.zeros((60, 1, 9, 9)), y=np.arange(60) % 3)
    with pytest.raises(ValueError, match=r"has inputs \(1, 9, 9\) of 3 classes, the network takes \(1, 8, 8\) of 10"):
        EarlyExitEvaluator(data=str(file)).evaluate(digits_space.freeze(two_exits))


def test_own_arrays_can_be_searched(tmp_path, digits_space, two_exits):
    digits = data_sets.load("digits")
    file = tmp_path / "own.npz"
    np.savez(file, x=digits.train.x.numpy(), y=digits.train.y.numpy())
    evaluator = EarlyExitEvaluator(data=str(file), epochs=1, threads=1)
    assert evaluate(evaluator, digits_space, two_exits).metrics["accuracy"] > 0.15


def test_a_trial_of_an_nni_strategy_that_had_come_to_its_end_reports_again_without_training(
    evaluator, digits_space, two_exits, monkeypatch, tmp_path
):
    class Model:
        sample = two_exits
        built = 0

        def executable_model(self):
            self.built += 1
            return digits_space.freeze(self.sample)

    final = []
    monkeypatch.setenv("NNI_OUTPUT_DIR", str(tmp_path))
    monkeypatch.setattr(nni_earlyexit.integration.evaluator.nni, "get_current_parameter", lambda: {"some": "parameter"})
    monkeypatch.setattr(nni_earlyexit.integration.evaluator.nni, "report_intermediate_result", lambda metrics: None)
    monkeypatch.setattr(nni_earlyexit.integration.evaluator.nni, "report_final_result", final.append)
    model = Model()
    evaluator._execute(model)
    evaluator._execute(model)
    assert model.built == 1
    assert final[1] == final[0]
    model.sample = {**two_exits, "stage0_depth": 2}
    evaluator._execute(model)
    assert model.built == 2
