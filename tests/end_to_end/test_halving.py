"""Successive halving in a real experiment: bad trials are stopped, the others come to their end."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from nni_earlyexit import strategies
from nni_earlyexit.evaluation import network_front as front
from nni_earlyexit.experiment.environment import environment
from nni_earlyexit.integration import assessor
from nni_earlyexit.integration.rest import unpack
from nni_earlyexit.search import checkpoint
from nni_earlyexit.search.domain import key
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.space.search_domain import domain
from support import free_port, run_script

pytestmark = pytest.mark.nni

TRIALS, EPOCHS, FACTOR = 6, 12, 2

# NNI's local platform means to say EARLY_STOPPED, but notes who stopped a trial only after the trial has ended.
STOPPED = ("EARLY_STOPPED", "USER_CANCELED")


@pytest.fixture(scope="module")
def experiment(start):
    running = start(
        trialCommand=f"python -m nni_earlyexit.trial --epochs {EPOCHS} --batch-size 128 --threads 1 --start warm",
        maxTrialNumber=TRIALS,
        tuner={"name": "EarlyExit", "classArgs": {"space": "digits", "strategy": "random", "seed": 0}},
        assessor={"name": "EarlyExitHalving", "classArgs": {"epochs": EPOCHS, "factor": FACTOR}},
    )
    return running, running.wait()


@pytest.fixture(scope="module")
def told(experiment, digits_space):
    """The strategy as it was when the experiment ended."""
    state = checkpoint.read(experiment[0].folder / "checkpoint" / checkpoint.FILE)
    strategy = strategies.create("random")
    strategy.start(domain(digits_space, Limits()))
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
    trials = checkpoint.read(experiment[0].folder / "checkpoint" / assessor.FILE)["trials"]
    stopped = {trial for _, trial, *_, ended in trials if ended}
    assert {trial["trialJobId"] for trial in with_status(experiment, *STOPPED)} <= stopped
    reached = Counter(rung for rung, *_ in trials)
    assert sorted(reached.values(), reverse=True) == [reached[rung] for rung in sorted(reached)]
    assert reached[1] == TRIALS


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
    assert front.best_of(records)


# The second trial that reports is the one that is stopped.
SEARCH = """
import json, sys
import nni_earlyexit
from nni.nas.experiment import NasExperiment

class Second(nni_earlyexit.SuccessiveHalving):
    def report(self, trial, epoch, metrics):
        super().report(trial, epoch, metrics)
        return list(self.rungs[1]).index(trial) != 1

search = nni_earlyexit.SearchStrategy(nni_earlyexit.strategies.create("random"), halving=Second(epochs=12))
evaluator = nni_earlyexit.EarlyExitEvaluator(epochs=12, batch_size=128, threads=1)
experiment = NasExperiment(nni_earlyexit.search_spaces.create("digits"), evaluator, search)
experiment.config.max_trial_number, experiment.config.trial_concurrency = 3, 2
experiment.run(int(sys.argv[1]))
said = {
    "statuses": [job.status for job in experiment.list_trial_jobs()],
    "stopped": list(search.halving.rungs[1])[1],
    "losses": {name: trial.losses for name, trial in search.strategy.trials.items()},
    "finished": {name: metrics for name, (model, metrics) in search._finished.items()},
}
experiment.stop()
print("said", json.dumps(said))
"""


@pytest.mark.long
def test_a_trial_of_a_nasexperiment_is_stopped_and_counts_with_what_it_gave(tmp_path):
    done = run_script(SEARCH, tmp_path, free_port(), **environment())
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.rpartition("said ")[2])
    assert sum(status in STOPPED for status in said["statuses"]) == 1
    assert said["statuses"].count("SUCCEEDED") == 2
    assert len(said["losses"]) == 3
    assert all(said["losses"].values())
    assert set(said["losses"]) - set(said["finished"]) == {said["stopped"]}
    assert {metrics["epochs"] for metrics in said["finished"].values()} == {12}
