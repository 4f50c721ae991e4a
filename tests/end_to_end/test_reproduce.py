"""A search whose trials run one at a time is made again by the commands that its report prints, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from nni_earlyexit.experiment.environment import environment
from support import TRIAL, free_port, launch

pytestmark = pytest.mark.nni

TRIALS = 4


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of a search."""
    folder = tmp_path_factory.mktemp("first")
    search = {"trialConcurrency": 1, "maxTrialNumber": TRIALS, "trialCommand": f"{TRIAL.format(epochs=1)} --start warm"}
    process = launch(folder, free_port(), **search)
    said = process.stdout.read()
    assert process.wait() == 0, said
    return folder


@pytest.fixture(scope="module")
def script(first):
    command = ["nni-earlyexit", "report", str(first / "nni" / "_latest"), "--reproduce"]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def again(script, tmp_path_factory):
    """The folder of the search that the script makes, in a home of its own."""
    folder = tmp_path_factory.mktemp("again")
    port = free_port()
    assert script.count("nni-earlyexit run experiment.yml") == 1
    script = script.replace("run experiment.yml", f"run experiment.yml --port {port}")
    home = {"HOME": str(folder), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env={**environment(), **home}, check=False, timeout=600)
    assert done.returncode == 0
    return folder


def front(results):
    """The front without what is another one each time: names and places, and the commit where somebody works meanwhile."""

    def without_names(part):
        return {name: value for name, value in part.items() if "trial" not in name and name != "made_with"}

    return json.loads((results / "front.json").read_text(), object_hook=without_names)["front"]


def trials(experiments):
    """Sample, metrics and the checksum of the weights of each trial, in the order of the texts."""
    found = [json.loads(path.read_text()) for path in experiments.glob("_latest/environments/*/trials/*/trial.json")]
    for trial in found:
        trial["metrics"].pop("train_seconds")
    parts = [[trial["sample"], trial["metrics"], trial["checksums"]["weights.safetensors"]] for trial in found]
    return sorted(json.dumps(part, sort_keys=True) for part in parts)


def test_the_trials_are_the_same_to_the_last_bit(first, again):
    assert trials(first / "nni") == trials(again / "nni-experiments")
    assert len(trials(first / "nni")) == TRIALS


def test_so_is_the_front(first, again):
    assert front(first / "results") == front(again / "results") != []


def test_the_script_says_what_the_trials_were_made_with(first, script):
    (path, *_) = (first / "nni").glob("_latest/environments/*/trials/*/trial.json")
    made = json.loads(path.read_text())["made_with"]
    assert {
        "python",
        "nni-earlyexit",
        "nni",
        "torch",
        "timm",
        "numpy",
        "scikit-learn",
        "processor",
        "system",
    } <= made.keys()
    assert f"# made with {', '.join(f'{name} {value}' for name, value in made.items())}" in script.splitlines()
    assert made == json.loads((first / "results" / "front.json").read_text())["made_with"]
