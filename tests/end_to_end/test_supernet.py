"""``nni-earlyexit supernet`` as a program that is killed, and an experiment of NNI's whose trials take its weights."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from nni_earlyexit import EarlyExitEvaluator, search_spaces
from nni_earlyexit.evaluation import record
from nni_earlyexit.supernet.supernet import Supernet
from support import PROGRAM, free_port, kill_at, launch, until

pytestmark = [pytest.mark.nni, pytest.mark.slow]

COMMAND = [str(PROGRAM), "supernet", "digits", "--epochs", "9", "--threads", "1", "--output"]


def start(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("supernet") / "whole.safetensors"
    training = start(path)
    said, _ = training.communicate(timeout=800)
    assert training.returncode == 0, said
    return path


@pytest.mark.long
def test_a_killed_training_goes_on_with_the_same_result(undisturbed, tmp_path):
    path = tmp_path / "killed.safetensors"
    killed = start(path)
    kill_at(killed, "epoch 3 of 9")
    assert not path.exists()
    resumed = start(path)
    said, _ = resumed.communicate(timeout=800)
    assert resumed.returncode == 0, said
    assert "epoch 2 of 9" not in said
    assert [own.name for own in tmp_path.iterdir()] == [path.name]
    space = search_spaces.create("digits")
    own, other = (Supernet.load(place, space)[0].network.state_dict() for place in (path, undisturbed))
    for name, tensor in own.items():
        torch.testing.assert_close(tensor, other[name])


def test_trials_take_weights_in_place_of_a_training(undisturbed, tmp_path):
    command = (
        f"python -m nni_earlyexit.trial --threads 2 --trial-timeout 200s --max-avg-macs 600k --weights {undisturbed}"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    variables = {"TMPDIR": str(temporary)}
    running = launch(tmp_path, free_port(), variables, trialCommand=command, maxTrialNumber=4)
    servers = temporary / f"nni-earlyexit-{os.getuid()}"
    until(lambda: any("ready for trials" in log.read_text() for log in servers.glob("*.log")))
    said, _ = running.communicate(timeout=800)
    assert running.returncode == 0, said
    members = json.loads((tmp_path / "results" / "front.json").read_text())["front"]
    trials = [record.load(Path(member["trial_folder"])) for member in members]
    assert all(trial.metrics["epochs"] == 0 for trial in trials)
    assert max(member["test"]["accuracy"] for member in members) > 0.3
    until(lambda: not any(servers.iterdir()))  # the server ends with the manager
    # and they gave what one process gives
    evaluator = EarlyExitEvaluator(trials[0].settings)
    space = search_spaces.create("digits")
    for trial in trials:
        metrics = evaluator.evaluate(space.freeze(trial.sample)).metrics
        assert metrics["accuracy"] == pytest.approx(trial.metrics["accuracy"], abs=0.005)
        assert metrics["avg_macs"] == pytest.approx(trial.metrics["avg_macs"], rel=0.02)
    # each has its own output, and only that
    assert len(members) <= 4
    for member in members:
        said = (Path(member["trial_folder"]) / "trial.log").read_text()
        assert said.count("PRINT") == 1
        assert said.endswith(" s\n")  # the result, the last line of its log
