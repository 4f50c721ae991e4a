"""Real experiments whose trial, tuner and manager are killed and that go on after ``nnictl stop`` and ``nnictl resume``,
and the other commands with which a user steers one."""

from __future__ import annotations

import json

import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.experiment.run import attach
from nni_earlyexit.integration.rest import unpack
from nni_earlyexit.search import checkpoint
from nni_earlyexit.search.domain import key
from support import eventually, free_port, nnictl

pytestmark = pytest.mark.nni

TRIAL = "python -m nni_earlyexit.trial --epochs 1 --threads 1"
TRIALS = 6

# The second trial hangs until it is killed, once.
HANGING = f'[ "$NNI_TRIAL_SEQ_ID" != 1 ] || [ -e hung ] || {{ touch hung; exec sleep 600; }}; exec {TRIAL}'


def sample_of(trial):
    parameters = unpack(trial["hyperParameters"][0])["parameters"]
    return {label: value for label, value in parameters.items() if label != "space"}


def finished(running):
    """When each finished trial was trained."""
    return {path.parent.name: path.stat().st_mtime_ns for path in running.trial_folders.glob("*/trial.json")}


def resume(running):
    """``nnictl stop`` and ``nnictl resume``, on another port: what is left of the old experiment may still try its own."""
    nnictl("stop", running.manager.id)
    running.manager = Manager(running.manager.id, free_port())
    nnictl("resume", running.manager.id, "--port", str(running.manager.port))


def trials_when_done(running):
    eventually(lambda: running.manager.status() == "DONE")
    return running.manager.trials()


def stored_losses(running):
    state = checkpoint.read(running.folder / "checkpoint" / checkpoint.FILE)
    return {key(sample): losses for sample, losses, *_ in state["trials"]}


@pytest.fixture(scope="module")
def survivor(start):
    """An experiment that lost a trial, its tuner and its manager; what was finished at each loss, and its trials."""
    running = start(
        trialCommand=HANGING,
        maxTrialNumber=TRIALS,
        maxExperimentDuration=None,
        tuner={"name": "EarlyExit", "classArgs": {"space": "digits"}},
    )
    kept = []

    eventually(lambda: (running.folder.parents[1] / "hung").exists() and finished(running))
    (hung,) = [
        trial["trialJobId"] for trial in running.manager.trials() if trial["trialJobId"] not in finished(running)
    ]
    running.kill("trial", hung)
    eventually(lambda: {t["trialJobId"]: t["status"] for t in running.manager.trials()}[hung] != "RUNNING")

    running.kill("tuner")
    kept.append(finished(running))
    resume(running)

    eventually(lambda: len(finished(running)) >= len(kept[0]) + 2)
    running.kill("manager")
    kept.append(finished(running))
    resume(running)

    return running, hung, kept, trials_when_done(running)


def test_it_ends_as_if_nothing_had_been_killed(survivor):
    _, hung, _, trials = survivor
    assert len(trials) == TRIALS
    lost = {trial["trialJobId"]: trial["status"] for trial in trials if trial["status"] != "SUCCEEDED"}
    assert lost.pop(hung) == "USER_CANCELED"
    # NNI may take a trial that it ends for nnictl stop for one that the user has ended; its network is tried again
    assert set(lost.values()) <= {"USER_CANCELED"}
    assert len(lost) <= 1


def test_no_finished_trial_is_trained_twice(survivor):
    running, _, kept, _ = survivor
    for known in kept:
        assert {job: finished(running)[job] for job in known} == known


def test_no_network_is_trained_by_two_trials(survivor):
    *_, trials = survivor
    trained = [key(sample_of(trial)) for trial in trials if trial["status"] == "SUCCEEDED"]
    assert len(set(trained)) == len(trained)


def test_every_finished_trial_is_known_to_the_strategy(survivor):
    running, hung, _, trials = survivor
    losses = stored_losses(running)
    assert {name for name, found in losses.items() if found is None} == {
        key(sample_of(trial)) for trial in trials if trial["trialJobId"] == hung
    }
    assert {name: found for name, found in losses.items() if found is not None} == {
        key(trial["metrics"]["sample"]): [-trial["metrics"]["accuracy"], trial["metrics"]["avg_macs"]]
        for trial in trials
        if trial["metrics"] is not None
    }


def test_its_results_can_be_exported_and_viewed(survivor, tmp_path):
    running, *_, trials = survivor
    nnictl("experiment", "export", running.manager.id, "--type", "json", "--filename", str(tmp_path / "results.json"))
    exported = json.loads((tmp_path / "results.json").read_text())
    assert len(exported) == len([trial for trial in trials if trial["status"] == "SUCCEEDED"])

    nnictl("stop", running.manager.id)
    running.manager = Manager(running.manager.id, free_port())
    nnictl("view", running.manager.id, "--port", str(running.manager.port))
    eventually(lambda: running.manager.status() == "VIEWED")
    assert running.manager.trials() == trials
    with pytest.raises(ValueError, match=f"attach: experiment {running.manager.id} is only looked at with nnictl view"):
        attach(running.manager.id, results=tmp_path)


SMALL, LIMIT = "digits max_exits=0", "95k"  # which three networks meet


@pytest.fixture(scope="module")
def exhausted(start, tmp_path_factory):
    """A space of three networks: one is imported while another one runs, the third one runs beside it. The trials."""
    folder = tmp_path_factory.mktemp("small")
    space = search_spaces.create(SMALL)
    running = start(
        trialCommand=f"while [ ! -e {folder}/go ]; do sleep 0.2; done; exec {TRIAL} --max-full-macs {LIMIT}",
        trialConcurrency=1,
        maxTrialNumber=10,
        maxExperimentDuration=None,
        searchSpaceFile=None,
        searchSpace=json.loads(json.dumps(space.search_space())),
        tuner={"name": "EarlyExit", "classArgs": {"space": SMALL, "max_full_macs": LIMIT}},
    )
    eventually(running.manager.trials)

    cheapest, _ = space.cheapest(exit=-1)
    other = {**cheapest, "stage1_block0": "ds_k5"}
    imported = other if sample_of(running.manager.trials()[0]) == cheapest else cheapest
    metrics = {"default": 0.5, "accuracy": 0.5, "avg_macs": float(space.exit_costs(imported)[-1]), "sample": imported}
    data = [{"parameter": {"space": space.identity(), **imported}, "value": metrics}]
    (folder / "data.json").write_text(json.dumps(data))
    nnictl("experiment", "import", running.manager.id, "--filename", str(folder / "data.json"))
    eventually(lambda: key(imported) in stored_losses(running))

    nnictl("update", "concurrency", running.manager.id, "--value", "2")
    eventually(lambda: [trial["status"] for trial in running.manager.trials()] == ["RUNNING", "RUNNING"])
    (folder / "go").touch()
    return running, imported, trials_when_done(running)


def test_an_experiment_ends_by_itself_when_no_network_is_left(exhausted):
    running, _, trials = exhausted
    assert [trial["status"] for trial in trials] == ["SUCCEEDED", "SUCCEEDED"]
    assert "No more trials: every network that may meet the limits has been proposed" in (
        (running.folder / "log" / "dispatcher.log").read_text()
    )


def test_an_imported_network_is_not_tried(exhausted):
    running, imported, trials = exhausted
    tried = {key(sample_of(trial)) for trial in trials}
    assert key(imported) not in tried
    assert set(stored_losses(running)) == {key(imported), *tried}


def test_the_number_of_trials_and_the_time_can_be_changed_while_it_runs(start, tmp_path):
    running = start(
        trialCommand=f"while [ ! -e {tmp_path}/go ]; do sleep 0.2; done; exec {TRIAL}",
        trialConcurrency=1,
        maxTrialNumber=1,
        tuner={"name": "EarlyExit", "classArgs": {"space": "digits"}},
    )
    eventually(running.manager.trials)
    nnictl("update", "trialnum", running.manager.id, "--value", "50")
    (tmp_path / "go").touch()
    eventually(lambda: len(finished(running)) >= 2)

    nnictl("update", "duration", running.manager.id, "--value", "1s")
    trials = trials_when_done(running)
    assert 2 <= len(trials) < 50
    assert {trial["status"] for trial in trials} == {"SUCCEEDED"}
    assert set(stored_losses(running)) >= {key(sample_of(trial)) for trial in trials}
