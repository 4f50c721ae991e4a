"""The example of a network's own exits: its commands, killed and taken up again, and its experiment through NNI."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from nni_earlyexit import EarlyExitNetwork
from nni_earlyexit.evaluation import record
from support import PROGRAM, free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-backbone"
pytestmark = [pytest.mark.nni, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, trained_digits):
    place = tmp_path_factory.mktemp("own")
    shutil.copytree(trained_digits, place / "backbone")
    shutil.copy(EXAMPLE / "experiment.yml", place)
    return place


def start(folder: Path, *arguments: str, **options) -> subprocess.Popen[str]:
    options = {"stderr": subprocess.STDOUT} | options
    return subprocess.Popen([str(PROGRAM), *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, **options)


FIND = ("exits", "backbone", "--epochs", "2", "--branches", "9", "--max-drop", "5%", "--output", "with-exits")


def branches(folder: Path) -> list[Path]:
    return sorted((folder / "with-exits-bank" / "branches").glob("*/branch.safetensors"))


def test_a_killed_search_goes_on_with_what_the_bank_has(folder):
    killed = start(folder, *FIND, "--jobs", "1")
    while killed.poll() is None and len(branches(folder)) < 3:
        pass
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    kept = {path: path.stat().st_mtime_ns for path in branches(folder)}
    assert len(kept) >= 3
    resumed = start(folder, *FIND, "--jobs", "2")
    said, _ = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, said
    assert f"trains {9 - len(kept)} branches" in said
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(branches(folder)) == 9
    assert "the backbone's own" in said
    network = EarlyExitNetwork.load(folder / "with-exits")
    stored = record.load(folder / "with-exits")
    assert network.policy == stored.policy
    assert json.loads((folder / "with-exits" / "trial.json").read_text())["space"].startswith("trained/1 folder=")


def test_with_json_the_record_of_the_same_network_is_printed(folder):
    again = start(folder, *FIND[:-1], "again", "--bank", "with-exits-bank", "--json", stderr=subprocess.DEVNULL)
    said, _ = again.communicate(timeout=600)
    printed = json.loads(said)
    assert again.returncode == 0
    assert printed["sample"] == record.load(folder / "with-exits").sample


def test_its_experiment_takes_branches_from_the_bank(folder):
    space = subprocess.run(
        [str(PROGRAM), "space", "trained", "folder=backbone"], cwd=folder, capture_output=True, text=True, check=True
    )
    (folder / "search_space.json").write_text(space.stdout)
    config = (folder / "experiment.yml").read_text()
    assert "--epochs 10 --max-drop 1%" in config
    changed = config.replace("--epochs 10", "--epochs 2").replace("maxTrialNumber: 30", "maxTrialNumber: 4")
    changed = changed.replace("~/own-backbone", str(folder))
    (folder / "experiment.yml").write_text(changed)
    before = len(branches(folder))
    port = str(free_port())
    running = start(folder, "run", "experiment.yml", "--port", port, "--results", "results")
    said, _ = running.communicate(timeout=800)
    assert running.returncode == 0, said
    members = json.loads((folder / "results" / "front.json").read_text())["front"]
    trials = [record.load(Path(member["trial_folder"])) for member in members]
    assert all("new_branches" in trial.metrics for trial in trials)
    assert all(trial.policy is not None and trial.space.startswith("trained/1") for trial in trials)
    assert len(branches(folder)) >= before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["exits", "resnet1", "--output", "o"], "space: 'resnet1' is unknown; did you mean 'resnet"),
        (["exits", "digits", "--output", "o"], "space: 'digits/2' trains its backbone"),
        (["exits", "backbone", "--output", "o", "--branches", "0"], "--branches: '0' is not possible;"),
        (["exits", "backbone", "--output", "o", "--distillation", "0.5"], "--distillation: there is no such option"),
        (["exits", "resnet18", "--weights", "none", "--output", "o"], "weights: there is no file"),
    ],
)
def test_bad_input_is_one_sentence(folder, arguments, sentence, monkeypatch, call):
    monkeypatch.chdir(folder)
    code, _, said = call(*arguments)
    assert code == 2
    assert sentence in said
    assert not (folder / "o").exists()
