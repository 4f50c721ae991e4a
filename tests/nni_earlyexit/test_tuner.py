"""The tuner as NNI's dispatcher drives it, without a manager."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from nni_earlyexit.tuner import EarlyExitClassArgsValidator, EarlyExitTuner
from nni_earlyexit.tuner_arguments import TunerArguments


def metrics(space, sample, accuracy=0.9):
    costs = space.exit_costs(sample)
    return {"default": 1.0, "accuracy": accuracy, "avg_macs": float(costs[0]), "sample": sample, "excess": 0}


@pytest.fixture
def tuner(digits_space):
    tuner = EarlyExitTuner(space="digits", max_avg_macs="400k", strategy_arguments={"population_size": 4})
    tuner.update_search_space(digits_space.search_space())
    return tuner


def sample_of(parameters):
    return {label: value for label, value in parameters.items() if label != "space"}


def test_parameters_say_their_space_and_keep_the_limit(tuner, digits_space):
    for parameters in tuner.generate_multiple_parameters(list(range(10))):
        assert parameters["space"] == "digits/2"
        assert digits_space.exit_costs(sample_of(parameters))[0] <= 400_000


def test_results_are_told_to_the_strategy(tuner, digits_space):
    parameters = tuner.generate_multiple_parameters([0, 1])
    for i, given in enumerate(parameters):
        tuner.receive_trial_result(i, given, metrics(digits_space, sample_of(given)))
        tuner.trial_end(i, True)
    assert len(tuner.strategy.trials) == 2
    assert all(trial.losses is not None for trial in tuner.strategy.trials.values())


def test_only_the_sample_that_was_run_is_trusted(tuner, digits_space):
    first, second = tuner.generate_multiple_parameters([0, 1])
    # NNI pairs the result with the parameters of another trial
    tuner.receive_trial_result(0, first, metrics(digits_space, sample_of(second), accuracy=0.5))
    (told,) = tuner.strategy.trials.values()
    assert told.sample == sample_of(second)


@pytest.mark.parametrize("success", [True, False])
def test_a_trial_that_ends_without_a_result_has_failed(tuner, success):
    (parameters,) = tuner.generate_multiple_parameters([0])
    tuner.trial_end(0, success)
    (told,) = tuner.strategy.trials.values()
    assert told.sample == sample_of(parameters)
    assert told.losses is None


def test_a_result_without_our_metrics_counts_as_failed(tuner):
    (parameters,) = tuner.generate_multiple_parameters([0])
    tuner.receive_trial_result(0, parameters, 0.93)
    (told,) = tuner.strategy.trials.values()
    assert told.losses is None


def test_results_of_an_earlier_run_are_known_after_resume(tuner, digits_space, rng):
    samples = [digits_space.sample(rng) for _ in range(3)]
    tuner.import_data(
        [
            {"parameter": {"space": "digits/2", **s}, "value": metrics(digits_space, s), "trialJobId": "x"}
            for s in samples
        ]
    )
    assert [trial.sample for trial in tuner.strategy.trials.values()] == samples


def test_a_resumed_search_does_not_repeat_the_trials_that_it_was_interrupted_in(tuner, digits_space):
    before = tuner.generate_multiple_parameters([0, 1, 2, 3])
    finished = sample_of(before[0])
    resumed = EarlyExitTuner(space="digits", max_avg_macs="400k", strategy_arguments={"population_size": 4})
    resumed.update_search_space(digits_space.search_space())
    resumed.import_data([{"parameter": before[0], "value": metrics(digits_space, finished)}])
    after = resumed.generate_multiple_parameters([0, 1, 2])
    assert all(parameters not in before for parameters in after)


def test_an_exhausted_space_gives_fewer_parameters(tuner, monkeypatch):
    monkeypatch.setattr(tuner.strategy, "domain", tuner.strategy.domain.__class__({"a": [1, 2]}))
    monkeypatch.setattr(tuner.strategy, "propose", lambda: {"a": 1})
    assert len(tuner.generate_multiple_parameters([0, 1, 2])) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "classArgs: space is missing; it can be digits"),
        ({"space": "digit"}, "space: 'digit' is unknown; did you mean 'digits'"),
        ({"space": "digits", "strategy": "nsga3000"}, "strategy: 'nsga3000' is unknown"),
        ({"space": "digits", "objectives": {"speed": "max"}}, "objectives: 'speed' is unknown"),
        ({"space": "digits", "seed": "x"}, "seed: 'x' is not possible"),
        ({"space": "digits", "strategy_arguments": [1]}, r"strategy_arguments: \[1\] is not possible"),
        ({"space": "digits", "max_full_macs": 0}, "max_full_macs: 0 is not possible; a positive number of MACs is"),
    ],
)
def test_class_arguments_are_checked_by_constructor_and_validator(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        EarlyExitTuner(**arguments)
    with pytest.raises(ValueError, match=sentence):
        EarlyExitClassArgsValidator().validate_class_args(**arguments)


def test_limits_may_have_a_unit():
    assert TunerArguments.parse({"space": "digits", "max_avg_macs": "1.5M"}).max_avg_macs == 1_500_000


def test_a_search_space_of_another_version_ends_the_process_visibly(digits_space):
    space = {**digits_space.search_space(), "space": {"_type": "choice", "_value": ["digits/0"]}}
    code = (
        "import json, sys, logging; logging.basicConfig();"
        "from nni_earlyexit.tuner import EarlyExitTuner;"
        "EarlyExitTuner(space='digits').update_search_space(json.loads(sys.argv[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", code, json.dumps(space)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "space: 'digits/0' is not 'digits/2'" in ended.stderr
