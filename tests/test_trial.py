"""The trial process, with a channel in the process in place of NNI's manager."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import nni
import numpy as np
import pytest
from nni.runtime.trial_command_channel import TrialCommandChannel, set_default_trial_command_channel
from nni_earlyexit import EarlyExitNetwork, search_spaces, trial
from nni_earlyexit.evaluation import record
from nni_earlyexit.search.metrics import whole
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files


class Channel(TrialCommandChannel):
    def __init__(self, parameters):
        self.parameters = parameters
        self.sent = []

    def receive_parameter(self):
        return {"parameter_id": 7, "parameters": self.parameters}

    def send_metric(self, type, parameter_id, trial_job_id, sequence, value):
        self.sent.append((type, parameter_id, value))


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a trial with parameters; what it sent to NNI."""
    monkeypatch.setenv("NNI_OUTPUT_DIR", str(tmp_path))

    def run(parameters, *arguments):
        channel = Channel(parameters)
        set_default_trial_command_channel(channel)
        monkeypatch.setattr(nni.trial, "_params", None)
        monkeypatch.setattr(sys, "argv", ["trial", "--threads", "1", *arguments])
        trial.main()
        return channel.sent

    yield run
    set_default_trial_command_channel(None)


@pytest.fixture
def parameters(two_exits):
    return {"space": "digits/2", **two_exits}


def test_it_reports_every_epoch_and_leaves_what_is_needed_later(run, parameters, tmp_path, capsys):
    sent = run(parameters, "--epochs", "2")
    assert [(kind, id) for kind, id, _ in sent] == [("PERIODICAL", 7), ("PERIODICAL", 7), ("FINAL", 7)]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert f": accuracy {whole(sent[-1][2])['accuracy']:.4f} at " in said[0]
    stored = record.load(tmp_path)
    assert {"space": stored.space, **stored.sample} == parameters
    assert stored.metrics == whole(json.loads(json.dumps(sent[-1][2])))
    assert stored.settings.training.epochs == 2
    assert {path.name for path in tmp_path.iterdir()} == {*record.FILES, record.SUMMARY, "tensorboard"}


def test_its_own_finished_result_is_reported_again_without_training(run, parameters):
    (*_, (_, _, first)) = run(parameters, "--epochs", "1")
    ((kind, _, again),) = run(parameters, "--epochs", "1")
    assert kind == "FINAL"
    assert again == json.loads(json.dumps(first))


def test_what_a_killed_trial_left_half_written_is_removed(run, parameters, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / files.beside(Path("weights.safetensors")).name.replace(str(os.getpid()), str(gone.pid))).touch()
    run(parameters, "--epochs", "1")
    assert {path.name for path in tmp_path.iterdir()} == {*record.FILES, record.SUMMARY, "tensorboard"}


def test_a_finished_result_whose_weights_are_damaged_is_trained_again(run, parameters, tmp_path):
    first = run(parameters, "--epochs", "1")[-1][2]
    whole = (tmp_path / record.WEIGHTS).read_bytes()
    (tmp_path / record.WEIGHTS).write_bytes(whole[: len(whole) // 2])
    *_, (kind, _, again) = run(parameters, "--epochs", "1")
    assert (kind, again["accuracy"]) == ("FINAL", first["accuracy"])
    assert (tmp_path / record.WEIGHTS).read_bytes() == whole


def test_a_trial_of_a_killed_manager_is_waited_for(tmp_path):
    claim = (
        f"from nni_earlyexit.utils import files; from pathlib import Path; c = files.claimed(Path({str(tmp_path)!r})); "
    )
    claim += "c.__enter__(); print('claimed', flush=True); input()"
    first, second = (
        subprocess.Popen([sys.executable, "-c", claim], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    try:
        ready, _, _ = select.select([first.stdout, second.stdout], [], [])
        holder, waiting = (first, second) if first.stdout in ready else (second, first)
        assert not select.select([waiting.stdout], [], [], 1)[0]
        holder.kill()
        assert waiting.stdout.readline() == "claimed\n"
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


def test_another_training_does_not_count_as_finished(run, parameters):
    run(parameters, "--epochs", "1")
    assert len(run(parameters, "--epochs", "2")) == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"stage0_depth": 9}, "sample: stage0_depth=9 is not possible in space digits/2; it can be 1, 2, 3"),
        ({"stage0_depth": True}, "sample: stage0_depth=True is not possible in space digits/2"),
        ({"other": 1}, "sample: 'other' is not a label of space digits/2"),
        ({"space": "digits/0"}, "space: 'digits/0' is not 'digits/2', which is installed; write the search space file"),
        (
            {"space": "venv.__main__/1"},
            "space: 'venv.__main__' is a Python module, which a stored file cannot choose to run",
        ),
        ({"space": "digit/1"}, "space: 'digit' is unknown; did you mean 'digits'?"),
    ],
)
def test_parameters_outside_the_space_are_refused_in_one_sentence(run, parameters, change, sentence, capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        run({**parameters, **change})
    assert end.value.code == 2
    log, said = capsys.readouterr()
    assert said.startswith(f"nni-earlyexit: {sentence}")
    assert said.count("\n") == 1
    assert log == said.replace("nni-earlyexit:", "failed:")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_breaks_a_rule_of_its_space_is_refused(run, capsys):
    space = search_spaces.create("digits max_exits=0")
    sample = {label: values[0] for label, values in space.choices.items()}
    with pytest.raises(SystemExit):
        run({"space": space.identity(), **sample})
    assert (
        "sample: it has 3 early exits, more than max_exits=0, which space digits/2 max_exits=0"
        in capsys.readouterr().err
    )


def test_a_trial_builds_the_space_with_its_arguments(run, tmp_path):
    space = search_spaces.create("digits max_exits=1")
    sample, _ = space.cheapest(exit=-1)
    run({"space": space.identity(), **sample})
    record = json.loads(next(tmp_path.rglob("trial.json")).read_text())
    assert record["space"] == "digits/2 max_exits=1"


def test_parameters_that_name_no_space_are_refused(run, two_exits, capsys):
    with pytest.raises(SystemExit):
        run(two_exits)
    assert "do not name a space; the search space file must come from" in capsys.readouterr().err


def test_arguments_become_settings():
    given = trial.parse(["--max-avg-macs", "400k", "--exit-weights", "1", "0.5", "--seed", "3"])
    assert given.settings == Settings.from_options(max_avg_macs=400_000, exit_weights=(1.0, 0.5), seed=3)
    assert Settings.from_dict(json.loads(json.dumps(given.settings.to_dict()))) == given.settings


@pytest.mark.parametrize("name", ["max-drop", "max_drop"])
def test_abbreviations_and_other_spellings_are_not_guessed(name):
    if name == "max-drop":
        assert trial.parse(["--max-drop", "0.1"]).settings.goal.max_drop == 0.1
    else:
        with pytest.raises(ValueError, match="unrecognized arguments"):
            trial.parse(["--max_drop", "0.1"])


def test_the_paths_of_a_finished_trial_mean_the_same_files_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.npz").touch()
    given = trial.parse(["--data", "own.npz"]).settings
    assert given.with_whole_paths().data.source == str(tmp_path / "own.npz")
    assert Settings().with_whole_paths() == Settings()


def test_with_a_bank_only_missing_branches_are_trained(run, trained_digits, tmp_path, monkeypatch):
    space = search_spaces.create("trained", folder=str(trained_digits))
    sample = space.sample(np.random.default_rng(2))
    parameters = {"space": space.identity(), **sample}
    options = ("--epochs", "1", "--bank", str(tmp_path / "bank"))
    present = sum(value == "yes" for label, value in sample.items() if label.endswith("_present"))
    for number, new in enumerate((present, 0)):
        monkeypatch.setenv("NNI_OUTPUT_DIR", str(tmp_path / str(number)))
        (tmp_path / str(number)).mkdir()
        ((kind, _, reported),) = run(parameters, *options)
        metrics = whole(reported)
        assert (kind, metrics["new_branches"], metrics["feasible"]) == ("FINAL", new, 1)
    first, second = (EarlyExitNetwork.load(tmp_path / str(number)).state_dict() for number in range(2))
    assert all((first[name] == second[name]).all() for name in first)
