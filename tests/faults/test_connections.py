"""Connections to NNI's manager that break, answers that are none, and a manager that is silent or gone."""

from __future__ import annotations

import json

import psutil
import pytest
from nni_earlyexit.search import checkpoint
from proxy import Fault, Proxy
from support import TRIAL, eventually, launch, left_behind, lines_until

pytestmark = pytest.mark.nni

TRIALS = 4

STARTS = [  # while nnictl starts the experiment
    Fault(r"GET .*/check-status", "reset", times=4),
    Fault(r"GET .*/check-status", "html"),
    Fault(r"POST .*/experiment ", "reset"),
    Fault(r"POST .*/experiment ", "reset late"),
]
POLLS = [
    Fault(r"GET .*/experiment ", "reset"),
    Fault(r"GET .*/check-status", "500", times=3),
    Fault(r"GET .*/check-status", "html"),
    Fault(r"GET .*/trial-jobs ", "reset late", times=3),
    Fault(r"GET .*/trial-jobs ", "cut"),
    Fault(r"GET .*/trial-jobs ", "delay", delay_s=25),
]
TRIAL_REQUESTS = [
    Fault(r"PUT /env/.*", "reset"),  # asks for parameters
    Fault(r"GET /env/.*", "reset late"),  # and loses them
    Fault(r"GET .*/trial-jobs/\w+ ", "html"),
    Fault(r"GET .*/trial-jobs/\w+ ", "500"),
    Fault(r"PUT /env/.*", "reset late", times=2),  # what is sent again has arrived already
    Fault(r"PUT /env/.*", "500", times=2),
    Fault(r"PUT /env/.*", "cut"),
]


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """An experiment in which every kind of request failed in every way, and the tuner lost its connection.

    And there is a proxy in the environment that does not work.
    """
    folder = tmp_path_factory.mktemp("spoilt")
    with Proxy(STARTS) as proxy:
        nowhere = {
            "http_proxy": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "no_proxy": "",
            "NO_PROXY": "",
        }
        process = launch(
            folder,
            proxy.front,
            {**proxy.environment(), **nowhere},
            trialCommand=TRIAL.format(epochs=2),
            maxTrialNumber=TRIALS,
            maxExperimentDuration=None,
        )
        said = lines_until(process, r"web UI")
        proxy.plan += [*POLLS, *TRIAL_REQUESTS]
        said += lines_until(process, r"1/4 trials")
        proxy.reset_tuner()
        said += process.stdout.readlines()
        yield folder, process.wait(), "".join(said), proxy


def test_every_fault_was_injected(spoilt):
    *_, proxy = spoilt
    assert proxy.left() == []
    assert len(proxy.injected) == 7 + 10 + 9 + 1


def test_the_search_ends_well_and_its_front_is_written(spoilt):
    folder, code, said, _ = spoilt
    assert code == 0, said
    assert f"{TRIALS}/{TRIALS} trials, best so far" in said
    assert "failed" not in said
    assert json.loads((folder / "results" / "front.json").read_text())["trials"] == TRIALS


def test_no_network_is_lost_and_none_counts_twice(spoilt):
    folder, *_ = spoilt
    finished = list(folder.glob("nni/_latest/environments/*/trials/*/trial.json"))
    samples = {json.dumps(json.loads(path.read_text())["sample"], sort_keys=True) for path in finished}
    state = checkpoint.read(folder / "nni" / "_latest" / "checkpoint" / checkpoint.FILE)
    told = {json.dumps(sample, sort_keys=True) for sample, losses, *_ in state["trials"] if losses is not None}
    assert len(finished) == len(samples) == len(state["trials"]) == TRIALS
    assert told == samples


def test_a_manager_that_is_silent_for_a_while_is_waited_for(tmp_path):
    with Proxy([]) as proxy:
        process = launch(
            tmp_path, proxy.front, proxy.environment(), trialCommand=TRIAL.format(epochs=1), maxTrialNumber=2
        )
        said = lines_until(process, r"web UI")
        (manager,) = [
            c.pid for c in psutil.net_connections("inet") if c.status == "LISTEN" and c.laddr.port == proxy.back
        ]
        eventually(lambda: list(tmp_path.glob("nni/_latest/environments/*/trials/*/trial.stdout")))
        psutil.Process(manager).suspend()
        try:
            said += lines_until(process, r"NNI's manager has not answered for \d+ s")
        finally:
            psutil.Process(manager).resume()
        said = "".join([*said, *process.stdout.readlines()])
        assert process.wait() == 0, said
    assert "2/2 trials, best so far" in said
    assert left_behind(tmp_path) == []
