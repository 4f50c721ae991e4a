"""The tuner as NNI's dispatcher drives it, without a manager."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from nni.runtime import msg_dispatcher, msg_dispatcher_base
from nni_earlyexit import search_spaces
from nni_earlyexit.bank.known_front import write_known_front
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.trial_folders import trial_folder
from nni_earlyexit.integration import rest
from nni_earlyexit.integration.evaluator import EarlyExitEvaluator
from nni_earlyexit.integration.tuner import EarlyExitClassArgsValidator, EarlyExitTuner
from nni_earlyexit.integration.tuner_arguments import TunerArguments
from nni_earlyexit.search import checkpoint
from nni_earlyexit.search.domain import Domain, key
from nni_earlyexit.search.metrics import flat
from nni_earlyexit.utils import files


def metrics(space, sample, accuracy=0.9):
    costs = space.exit_costs(sample)
    return {"default": 1.0, "accuracy": accuracy, "avg_macs": float(costs[0]), "sample": sample, "excess": 0}


def final_metrics(space, sample, accuracy=0.9):
    return {**metrics(space, sample, accuracy), "front": {"accuracy": [accuracy, 0.5], "avg_macs": [2e5, 1e5]}}


class Manager:
    """What the tuner asks NNI's manager: which trials and results there are, and to end after so many."""

    def __init__(self):
        self.jobs, self.finals = [], []
        self.ends_after = None
        self.command = "python -m another.trial"

    def submit(self, parameters, status="RUNNING", final=None):
        job = {"trialJobId": str(len(self.jobs)), "status": status}
        self.jobs.append({**job, "hyperParameters": [json.dumps({"parameters": parameters})]})
        if final is not None:
            self.finals.append({"trialJobId": job["trialJobId"], "data": json.dumps(json.dumps(final))})

    def get(self, address, path):
        assert address == "http://localhost:8080/api/v1/nni"
        experiment = {"params": {"trialCommand": self.command}}
        return {"trial-jobs": self.jobs, "metric-data?type=FINAL": self.finals, "experiment": experiment}[path]

    def end_after(self, address, trials):
        self.ends_after = trials


@pytest.fixture(autouse=True)
def manager(monkeypatch, tmp_path, digits_space):
    manager = Manager()
    monkeypatch.setattr(rest, "get", manager.get)
    monkeypatch.setattr(rest, "end_after", manager.end_after)
    monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", "ws://localhost:8080/tuner")
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(search_spaces, "create", lambda name: digits_space)  # which took a while to measure
    monkeypatch.setattr("os._exit", lambda code: pytest.fail("the tuner ended its process"))
    return manager


def start(space, resumed=False, **arguments):
    arguments = {"strategy_arguments": {"initial_random": 5}, "max_avg_macs": "400k", **arguments}
    tuner = EarlyExitTuner(space="digits", **arguments)
    if resumed:
        tuner.load_checkpoint()
    tuner.update_search_space(space.search_space())
    return tuner


@pytest.fixture
def tuner(digits_space):
    return start(digits_space)


def sample_of(parameters):
    return {label: value for label, value in parameters.items() if label != "space"}


def result(space, parameters, job="x"):
    """A result as NNI imports it."""
    return {"parameter": parameters, "value": metrics(space, sample_of(parameters)), "trialJobId": job}


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


@pytest.mark.parametrize("form", [flat, dict], ids=["as trials report it", "as older versions reported it"])
def test_the_strategy_sees_all_metrics_whatever_form_they_came_in(tuner, manager, digits_space, form):
    given = tuner.generate_multiple_parameters([0, 1, 2])
    results = [final_metrics(digits_space, sample_of(parameters)) for parameters in given]
    tuner.receive_trial_result(0, given[0], form(results[0]))
    tuner.import_data([{"parameter": given[1], "value": form(results[1])}])
    manager.submit(given[2], "SUCCEEDED", form(results[2]))
    tuner._settle()
    trials = list(tuner.strategy.trials.values())
    assert [trial.sample for trial in trials] == [result["sample"] for result in results]
    assert [len(trial.points) for trial in trials] == [len(trials[0].points)] * 3
    assert all({(-0.5, 1e5)} < set(trial.points) for trial in trials)


def stop(tuner, parameters, parameter_id, value):
    """What NNI's dispatcher does with a trial that an assessor stops after it reported ``value``."""
    dispatcher = msg_dispatcher.MsgDispatcher(
        "ws://_unittest_placeholder_", tuner, SimpleNamespace(assess_trial=lambda *_: False)
    )
    dispatcher.send = lambda *_: None
    msg_dispatcher._trial_params[parameter_id] = parameters
    report = {"parameter_id": parameter_id, "trial_job_id": f"job{parameter_id}", "type": "PERIODICAL", "sequence": 0}
    dispatcher.handle_report_metric_data({**report, "value": json.dumps(value)})
    dispatcher.process_command(*dispatcher.default_command_queue.get_nowait())


def test_a_trial_that_an_assessor_stopped_counts_with_its_last_intermediate_result(tuner, digits_space):
    (given,) = tuner.generate_multiple_parameters([0])
    stop(tuner, given, 0, flat(metrics(digits_space, sample_of(given), accuracy=0.6)))
    tuner.trial_end(0, False)
    (told,) = tuner.strategy.trials.values()
    assert told.losses[0] == -0.6


def test_the_final_result_of_a_trial_that_was_faster_than_its_end_counts(tuner, digits_space):
    given = tuner.generate_multiple_parameters([0, 1])
    final = [{**metrics(digits_space, sample_of(g), accuracy=0.9), "front": {}} for g in given]
    partial = [metrics(digits_space, sample_of(g), accuracy=0.6) for g in given]
    stop(tuner, given[0], 0, partial[0])
    tuner.receive_trial_result(0, given[0], final[0])
    tuner.receive_trial_result(1, given[1], final[1])
    stop(tuner, given[1], 1, partial[1])
    assert [trial.losses[0] for trial in tuner.strategy.trials.values()] == [-0.9, -0.9]


def test_a_result_that_arrives_twice_counts_once(tuner, digits_space):
    """As it does when the manager took it and its answer was lost."""
    given = tuner.generate_multiple_parameters([0, 1])
    final = {**metrics(digits_space, sample_of(given[0]), accuracy=0.9), "front": {}}
    for _ in range(2):
        tuner.receive_trial_result(0, given[0], final)
    tuner.trial_end(0, True)
    assert [trial.losses[0] for trial in tuner.strategy.trials.values()] == [-0.9]
    assert len(tuner.strategy.pending) == 1


def test_what_killed_processes_left_half_written_is_removed_when_an_experiment_resumes(
    digits_space, monkeypatch, tmp_path
):
    checkpoint, trial = tmp_path / "checkpoint", tmp_path / "environments" / "local-env" / "trials" / "abc"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for folder in (checkpoint, trial):
        folder.mkdir(parents=True)
        (folder / files.beside(Path("weights.safetensors")).name.replace(str(os.getpid()), str(gone.pid))).touch()
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(checkpoint))
    start(digits_space, resumed=True)
    assert [path for path in tmp_path.rglob(".*")] == []


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


BROKEN = {
    "a number": lambda good: 0.93,
    "nothing": lambda good: None,
    "no sample": lambda good: {"accuracy": 0.9, "avg_macs": 1.0},
    "no objective": lambda good: {"accuracy": 0.9, "sample": good["sample"]},
    "words": lambda good: {**good, "accuracy": "high"},
    "another space": lambda good: {**good, "sample": {"depth": 1}},
    "a front that is none": lambda good: {**good, "front": {"accuracy": [1.0, 0.9], "avg_macs": [1.0]}},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_broken_result_counts_as_failed_and_is_logged(tuner, digits_space, change, caplog):
    (parameters,) = tuner.generate_multiple_parameters([0])
    value = change(metrics(digits_space, sample_of(parameters)))
    tuner.receive_trial_result(0, parameters, value)
    tuner.trial_end(0, True)
    (told,) = tuner.strategy.trials.values()
    assert told.sample == sample_of(parameters)
    assert told.losses is None
    assert "which lacks the metrics of EarlyExitEvaluator" in caplog.text


def test_the_result_of_a_batch_whose_parameters_nni_lost_is_known(tuner, digits_space):
    (parameters,) = tuner.generate_multiple_parameters([0])
    tuner.receive_trial_result(0, "", metrics(digits_space, sample_of(parameters)))
    assert tuner.strategy.trials[key(sample_of(parameters))].losses is not None


def test_a_resumed_search_goes_on_exactly_as_it_would_have(tuner, digits_space, manager):
    asked = tuner.generate_multiple_parameters(list(range(8)))
    for i, parameters in enumerate(asked[:6]):
        tuner.receive_trial_result(i, parameters, metrics(digits_space, sample_of(parameters), accuracy=i / 10))
        manager.submit(parameters, "SUCCEEDED")
    for parameters in asked[6:]:
        manager.submit(parameters)
    resumed = start(digits_space, resumed=True)
    resumed.import_data([result(digits_space, parameters) for parameters in asked[:6]])
    assert resumed.strategy.state_dict() == tuner.strategy.state_dict()
    assert resumed.generate_multiple_parameters([8, 9]) == tuner.generate_multiple_parameters([8, 9])


def test_state_is_saved_when_samples_are_asked_for_and_when_results_come(tuner, digits_space, tmp_path):
    def saved():
        return checkpoint.read(tmp_path / checkpoint.FILE)

    first, second = tuner.generate_multiple_parameters([0, 1])
    assert saved()["pending"] == [sample_of(first), sample_of(second)]
    tuner.receive_trial_result(0, first, metrics(digits_space, sample_of(first)))
    assert [trial[0] for trial in saved()["trials"]] == [sample_of(first)]
    tuner.trial_end(1, False)
    assert saved()["pending"] == []


def test_a_known_result_is_not_told_twice(tuner, digits_space, monkeypatch):
    (parameters,) = tuner.generate_multiple_parameters([0])
    tuner.receive_trial_result(0, parameters, metrics(digits_space, sample_of(parameters)))
    monkeypatch.setattr(tuner.strategy, "tell", lambda *_: pytest.fail("told twice"))
    tuner.import_data([result(digits_space, parameters)])


def test_what_happened_while_the_tuner_was_gone_is_known_after_resume(tuner, digits_space, manager):
    succeeded, failed, interrupted, stopped, lost = tuner.generate_multiple_parameters([0, 1, 2, 3, 4])
    manager.submit(succeeded, "SUCCEEDED")
    manager.submit(failed, "FAILED")
    manager.submit(interrupted, "ADD_RESUMED")
    manager.submit(stopped, "USER_CANCELED")
    resumed = start(digits_space, resumed=True)
    resumed.import_data([result(digits_space, succeeded)])
    known = {name: trial.losses is not None for name, trial in resumed.strategy.trials.items()}
    assert known == {key(sample_of(succeeded)): True, key(sample_of(failed)): False}
    # NNI runs the interrupted one again and imports its result
    assert resumed.generate_multiple_parameters([5, 6]) == [stopped, lost]
    resumed.import_data([{"parameter": interrupted, "value": metrics(digits_space, sample_of(interrupted))}])
    assert resumed.strategy.trials[key(sample_of(interrupted))].losses is not None


def test_a_trial_that_ended_before_the_tuner_had_resumed_is_known(tuner, digits_space, manager):
    first, second = tuner.generate_multiple_parameters([0, 1])
    resumed = start(digits_space, resumed=True)
    # NNI drops its result, and asks for another trial before it has told which numbers are taken
    assert resumed.generate_multiple_parameters([0]) == []
    resumed.trial_end(0, True)
    manager.submit(first, "RUNNING", metrics(digits_space, sample_of(first)))
    manager.submit(second, "ADD_RESUMED")
    resumed.import_data([])
    assert resumed.strategy.trials[key(sample_of(first))].losses is not None
    assert list(resumed.strategy.pending) == [key(sample_of(second))]
    assert len(resumed.generate_multiple_parameters([2, 3])) == 2


@pytest.mark.parametrize("name", [record.SUMMARY, record.WEIGHTS, record.OUTPUTS, record.PREPROCESSING])
def test_a_network_whose_stored_files_are_damaged_is_trained_again_after_resume(
    tuner, digits_space, manager, tmp_path, monkeypatch, name, caplog
):
    (tmp_path / "checkpoint").mkdir()
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path / "checkpoint"))
    evaluator = EarlyExitEvaluator(epochs=1, threads=1)
    asked = tuner.generate_multiple_parameters([0, 1, 2])
    for number, parameters in enumerate(asked):
        manager.submit(parameters, "SUCCEEDED", metrics(digits_space, sample_of(parameters)))
        if number < 2:  # of the third, nothing is stored here
            evaluation = evaluator.evaluate(digits_space.freeze(sample_of(parameters)))
            record.save(evaluation, trial_folder(tmp_path, str(number)), evaluator.settings)
    path = trial_folder(tmp_path, "1") / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    resumed = start(digits_space, resumed=True)
    resumed.import_data([result(digits_space, parameters) for parameters in asked])
    assert f"What a trial had finished is damaged, its network is trained again: {path}: " in caplog.text
    again, another = resumed.generate_multiple_parameters([3, 4])
    assert again == asked[1]
    assert another not in asked


@pytest.mark.parametrize("state", [None, "", "[]", "{}", '{"version": 0}', "damaged"])
def test_without_a_usable_state_the_search_goes_on_from_the_results(
    tuner, digits_space, manager, tmp_path, state, caplog
):
    before = tuner.generate_multiple_parameters([0, 1, 2, 3])
    file = tmp_path / checkpoint.FILE
    if state is None:
        file.unlink()
    else:
        file.write_text(file.read_text().replace('"trials":[', '"trials":[[1],') if state == "damaged" else state)
    manager.submit(before[0], "SUCCEEDED")
    for parameters in before[1:]:
        manager.submit(parameters, "ADD_RESUMED")
    resumed = start(digits_space, resumed=True)
    resumed.import_data([result(digits_space, before[0])])
    assert str(file) in caplog.text
    assert list(resumed.strategy.trials) == [key(sample_of(before[0]))]
    assert all(parameters not in before for parameters in resumed.generate_multiple_parameters([4, 5, 6]))


def test_a_state_of_another_strategy_is_refused_in_the_log(tuner, digits_space, caplog):
    tuner.generate_multiple_parameters([0])
    resumed = start(digits_space, resumed=True, strategy="random", strategy_arguments={})
    resumed.import_data([])
    assert (
        "state: it is of strategy 'nni_earlyexit.strategies.surrogate', not of 'nni_earlyexit.strategies.random'"
        in (caplog.text)
    )


def test_a_state_that_cannot_be_written_does_not_end_the_search(tuner, tmp_path, caplog):
    (tmp_path / checkpoint.FILE).mkdir()
    assert len(tuner.generate_multiple_parameters([0, 1])) == 2
    assert "The state of the strategy could not be saved" in caplog.text


def test_results_of_an_earlier_experiment_can_be_imported(tuner, digits_space, rng):
    data = [result(digits_space, {"space": "digits/2", **digits_space.sample(rng)}) for _ in range(3)]
    tuner.import_data(data)
    assert [trial.sample for trial in tuner.strategy.trials.values()] == [entry["value"]["sample"] for entry in data]


def test_imported_results_that_do_not_belong_here_are_left_out(tuner, digits_space, rng, caplog):
    good = result(digits_space, {"space": "digits/2", **digits_space.sample(rng)})
    others = [
        {"parameter": {**good["parameter"], "space": "digits/1"}, "value": good["value"]},
        {"parameter": {"space": "digits/2", "depth": 1}, "value": 0.9},
        {"parameter": {"lr": 0.1}, "value": 0.9},
        {"parameter": None, "value": None},
        {"value": 0.9},
    ]
    tuner.import_data([*others, good])
    assert list(tuner.strategy.trials) == [key(good["value"]["sample"])]
    assert caplog.text.count("A result is not imported: ") == len(others)


def test_the_space_again_while_the_search_runs_forgets_nothing(tuner, digits_space):
    asked = tuner.generate_multiple_parameters([0, 1])
    tuner.update_search_space(digits_space.search_space())
    assert list(tuner.strategy.pending.values()) == [sample_of(parameters) for parameters in asked]


@pytest.fixture
def two_networks(tuner):
    tuner.strategy.start(Domain({"a": [1, 2]}, name="tiny/1"))
    tuner.strategy.propose = lambda: {"a": 1}
    return tuner


def test_an_exhausted_space_ends_the_experiment_after_its_last_trial(two_networks, manager):
    given = two_networks.generate_multiple_parameters([0, 1, 2])
    assert [sample_of(parameters) for parameters in given] == [{"a": 1}, {"a": 2}]
    for parameters in given:
        manager.submit(parameters)
    two_networks.receive_trial_result(0, "", {"accuracy": 1, "avg_macs": 1, "sample": {"a": 1}})
    two_networks.trial_end(0, True)
    assert manager.ends_after is None
    two_networks.trial_end(1, False)
    assert manager.ends_after == 2


def test_an_exhausted_space_ends_the_experiment_at_once_when_nothing_runs(two_networks, manager):
    for i, parameters in enumerate(two_networks.generate_multiple_parameters([0, 1])):
        manager.submit(parameters)
        two_networks.trial_end(i, False)
    assert manager.ends_after is None
    assert two_networks.generate_multiple_parameters([2]) == []
    assert manager.ends_after == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"space": 3}, "space: 3 is not possible; a name is"),
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
    assert TunerArguments.parse({"space": "digits", "max_avg_macs": "1.5M"}).limits.max_avg_macs == 1_500_000


def test_a_search_space_of_another_version_ends_the_process_visibly(digits_space):
    space = {**digits_space.search_space(), "space": {"_type": "choice", "_value": ["digits/0"]}}
    code = (
        "import json, sys, logging; logging.basicConfig();"
        "from nni_earlyexit.integration.tuner import EarlyExitTuner;"
        "EarlyExitTuner(space='digits').update_search_space(json.loads(sys.argv[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", code, json.dumps(space)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "space: 'digits/0' is not 'digits/2'" in ended.stderr


def test_limits_are_those_of_the_trial_command(manager, digits_space):
    manager.command = "python -m nni_earlyexit.trial --max-avg-macs 400k --epochs 3"
    tuner = start(digits_space, max_avg_macs=None)
    assert tuner.strategy.domain.limits == {"avg_macs": 400_000}


def test_limits_that_do_not_agree_end_the_experiment_with_a_reason(manager, digits_space, caplog):
    manager.command = "python -m nni_earlyexit.trial --max-avg-macs 300k"
    with pytest.raises(pytest.fail.Exception):
        start(digits_space)
    assert (
        "max_avg_macs: the tuner's is 400000.0 and the trialCommand's is 300000.0; they must be the same" in caplog.text
    )


def test_without_a_space_of_its_own_it_takes_that_of_the_file_but_imports_no_module(manager, digits_space, caplog):
    tuner = EarlyExitTuner(strategy="random")
    tuner.update_search_space(digits_space.search_space())
    assert tuner.identity == digits_space.identity()
    stranger = {**digits_space.search_space(), "space": {"_type": "choice", "_value": ["my.module/1"]}}
    with pytest.raises(pytest.fail.Exception):
        EarlyExitTuner(strategy="random").update_search_space(stranger)
    assert "is a Python module, which a stored file cannot choose to run" in caplog.text


def test_a_search_with_a_bank_begins_with_its_best_networks(manager, digits_space, tmp_path):
    rng = np.random.default_rng(99)  # not that of the strategy
    samples = [digits_space.sample(rng) for _ in range(20)]
    networks = [{"sample": sample, "accuracy": 0.5, "avg_macs": 1.0} for sample in samples]
    write_known_front(tmp_path, digits_space.identity(), networks)
    manager.command = f"python -m nni_earlyexit.trial --bank {tmp_path}"
    tuner = start(digits_space, max_avg_macs=None)
    asked = tuner.generate_multiple_parameters(list(range(8)))
    assert [sample_of(parameters) for parameters in asked] == [samples[i] for i in (0, 3, 5, 8, 11, 14, 16, 19)]
    assert sample_of(*tuner.generate_multiple_parameters([8])) not in samples


def test_nothing_that_a_trial_reports_is_built_from_a_pickle_or_a_name(digits_space, tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "written").touch, ()

    EarlyExitTuner(space="digits")
    pickled = base64.b64encode(pickle.dumps(Evil())).decode()
    for reported in ({"__nni_obj__": pickled}, {"__instance_type__": "os.getcwd"}, {"__nni_type__": "path:os.getcwd"}):
        for module in (msg_dispatcher, msg_dispatcher_base):
            assert module.load(json.dumps(reported)) == reported
    assert not (tmp_path / "written").exists()
