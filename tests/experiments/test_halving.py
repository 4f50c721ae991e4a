"""Successive halving in a real experiment: bad trials are stopped, the others come to their end."""

from __future__ import annotations

import json

import pytest
from nni_earlyexit import front, strategies
from nni_earlyexit.ask_tell import key
from nni_earlyexit.domains import domain
from nni_earlyexit.goal import Goal
from nni_earlyexit.manager import unpack

TRIALS, EPOCHS, FACTOR = 6, 20, 2

# NNI's local platform means to say EARLY_STOPPED, but notes who stopped a trial only after the trial has ended.
STOPPED = ("EARLY_STOPPED", "USER_CANCELED")


@pytest.fixture(scope="module")
def experiment(start):
    running = start(
        trialCommand=f"python -m nni_earlyexit.trial --epochs {EPOCHS} --batch-size 128 --threads 1",
        maxTrialNumber=TRIALS,
        tuner={"name": "EarlyExit", "classArgs": {"space": "digits", "strategy": "random", "seed": 0}},
        assessor={"name": "EarlyExitHalving", "classArgs": {"epochs": EPOCHS, "factor": FACTOR}},
    )
    return running, running.wait()


@pytest.fixture(scope="module")
def told(experiment, digits_space):
    """The strategy as it was when the experiment ended."""
    state = json.loads((experiment[0].folder / "checkpoint" / "strategy.json").read_text())
    strategy = strategies.create("random")
    strategy.start(domain(digits_space, Goal()))
    strategy.load_state_dict(state)
    return strategy


def sample_of(trial):
    return {k: v for k, v in unpack(trial["hyperParameters"][0])["parameters"].items() if k != "space"}


def with_status(experiment, *status):
    return [trial for trial in experiment[1] if trial["status"] in status]


def test_some_trials_are_stopped_and_all_others_come_to_their_end(experiment):
    stopped, succeeded = with_status(experiment, *STOPPED), with_status(experiment, "SUCCEEDED")
    assert stopped
    assert succeeded
    assert len(stopped) + len(succeeded) == TRIALS
    assert {trial["metrics"]["epochs"] for trial in succeeded} == {EPOCHS}
    assert experiment[0].manager.status() == "DONE"


def test_stopped_trials_are_those_that_the_rungs_say(experiment):
    state = json.loads((experiment[0].folder / "checkpoint" / "halving.json").read_text())
    assert {trial["trialJobId"] for trial in with_status(experiment, *STOPPED)} <= set(state["stopped"])
    assert [len(reached) for reached in state["rungs"].values()] == sorted(
        (len(reached) for reached in state["rungs"].values()), reverse=True
    )
    assert len(state["rungs"]["1"]) == TRIALS


def test_the_strategy_learns_what_stopped_trials_gave(experiment, told):
    results = {key(trial.sample): trial for trial in told.trials.values()}
    reported = experiment[0].manager.get("metric-data?type=PERIODICAL")
    for trial in with_status(experiment, *STOPPED):
        gave = [unpack(report["data"]) for report in reported if report["trialJobId"] == trial["trialJobId"]]
        assert -results[key(sample_of(trial))].losses[0] in [metrics["accuracy"] for metrics in gave]
    for trial in with_status(experiment, "SUCCEEDED"):
        assert -results[key(sample_of(trial))].losses[0] == trial["metrics"]["accuracy"]


def test_the_front_is_made_of_trials_that_came_to_their_end(experiment):
    records = front.finished(experiment[0].folder)
    succeeded = with_status(experiment, "SUCCEEDED")
    assert {record.folder.name for record in records} == {trial["trialJobId"] for trial in succeeded}
    assert front.non_dominated(records)
