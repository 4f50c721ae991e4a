"""NNI's local platform hands parameters to whichever trial asks first. Nobody may notice."""

from __future__ import annotations

import shlex
import sys

import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation import record
from nni_earlyexit.integration.rest import unpack

pytestmark = pytest.mark.nni

WORKERS = 3

# Trials of one wave ask in reverse order, so that each gets the parameters of another one.
LATE_FIRST = f"sleep $(( ({WORKERS} - 1 - NNI_TRIAL_SEQ_ID % {WORKERS}) * 4 )); exec "
# What NNI handed out, before the trial does anything about it.
TRIAL = """
import json, os, runpy, sys
import nni
original = nni.get_next_parameter
def observed():
    parameters = original()
    with open(os.path.join(os.environ["NNI_OUTPUT_DIR"], "handed_out.json"), "w") as file:
        json.dump(nni.trial._params, file)
    return parameters
nni.get_next_parameter = observed
sys.argv[0] = "trial"
runpy.run_module("nni_earlyexit.trial", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def experiment(start):
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(TRIAL)} --epochs 1 --threads 1"
    running = start(
        trialCommand=LATE_FIRST + command,
        trialConcurrency=WORKERS,
        maxTrialNumber=2 * WORKERS,
        tuner={"name": "EarlyExit", "classArgs": {"space": "digits", "seed": 1}},
    )
    trials = running.wait()
    return running, trials


def test_swaps_were_forced(experiment):
    running, trials = experiment
    swapped = 0
    for trial in trials:
        handed_out = (running.trial_folders / trial["trialJobId"] / "handed_out.json").read_text()
        swapped += unpack(handed_out)["parameter_id"] != unpack(trial["hyperParameters"][0])["parameter_id"]
    assert swapped >= 2


def test_every_row_of_the_web_ui_shows_the_network_that_ran(experiment):
    _, trials = experiment
    assert len(trials) == 2 * WORKERS
    assert {trial["status"] for trial in trials} == {"SUCCEEDED"}
    space = search_spaces.create("digits")
    for trial in trials:
        shown = {k: v for k, v in unpack(trial["hyperParameters"][0])["parameters"].items() if k != "space"}
        assert trial["metrics"]["sample"] == shown
        assert trial["metrics"]["full_macs"] == space.exit_costs(shown)[-1]


def test_every_stored_file_is_of_the_network_that_the_row_shows(experiment):
    running, trials = experiment
    for trial in trials:
        stored = record.load(running.trial_folders / trial["trialJobId"])
        shown = {k: v for k, v in unpack(trial["hyperParameters"][0])["parameters"].items() if k != "space"}
        assert stored.sample == shown
        assert stored.metrics == trial["metrics"]
        assert stored.network().exit_costs[-1] == trial["metrics"]["full_macs"]


def test_every_exported_row_is_consistent(experiment):
    running, trials = experiment
    exported = running.manager.get("export-data")
    assert len(exported) == len(trials)
    for row in exported:
        parameters, metrics = row["parameter"], unpack(row["value"])
        assert {k: v for k, v in parameters.items() if k != "space"} == metrics["sample"]


def test_every_metric_carries_the_parameter_id_of_its_trial(experiment):
    running, trials = experiment
    ids = {trial["trialJobId"]: unpack(trial["hyperParameters"][0])["parameter_id"] for trial in trials}
    reported = running.manager.get("metric-data?type=FINAL")
    assert {metric["trialJobId"]: int(metric["parameterId"]) for metric in reported} == ids
