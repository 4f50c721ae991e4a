"""NNI's own tuners run the same experiment file with only the tuner block changed; and what a wrong parameter ends in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
from nni_earlyexit.search.goal import BORDER

pytestmark = pytest.mark.nni

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
QUICK = "python -m nni_earlyexit.trial --epochs 1 --threads 1"


@pytest.mark.parametrize(
    "tuner",
    [
        pytest.param({"name": "TPE", "classArgs": {"optimize_mode": "maximize"}}, id="TPE"),
        pytest.param({"name": "Random"}, id="Random", marks=pytest.mark.long),
    ],
)
def test_builtin_tuner_runs_the_experiment(start, tuner):
    trials = start(trialCommand=QUICK, maxTrialNumber=2, tuner=tuner).wait()
    assert [trial["status"] for trial in trials] == ["SUCCEEDED"] * 2
    assert all(trial["metrics"]["feasible"] and trial["metrics"]["default"] > BORDER for trial in trials)


def test_over_the_limit_is_reported_as_infeasible_without_training(start):
    # NNI's tuner does not know the limit; nearly every network of the space is over it
    command = f"{QUICK} --max-full-macs 95k"
    trials = start(trialCommand=command, maxTrialNumber=2, tuner={"name": "Random", "classArgs": {"seed": 0}}).wait()
    for trial in trials:
        metrics = trial["metrics"]
        assert trial["status"] == "SUCCEEDED"
        assert metrics["feasible"] == 0
        assert metrics["excess"] == metrics["full_macs"] / 95_000 - 1 > 0
        assert 0 < metrics["default"] < BORDER


def test_parameters_outside_the_space_fail_the_trial_with_one_sentence(start):
    space = json.loads((EXAMPLE / "search_space.json").read_text())
    space["stage1_depth"]["_value"] = [7]
    running = start(
        searchSpaceFile=None, searchSpace=space, trialCommand=QUICK, maxTrialNumber=1, tuner={"name": "Random"}
    )
    (trial,) = running.wait()
    assert trial["status"] == "FAILED"
    said = (running.trial_folders / trial["trialJobId"] / "trial.stderr").read_text()
    shown = requests.get(f"{running.manager.address}/api/v1/nni/trial-file/{trial['trialJobId']}/trial.log", timeout=30)
    assert shown.text.splitlines()[-1].endswith(said.removeprefix("nni-earlyexit: ").strip())
    assert said == "nni-earlyexit: sample: stage1_depth=7 is not possible in space digits/2; it can be 1, 2, 3\n"
