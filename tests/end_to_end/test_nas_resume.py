"""A ``NasExperiment`` with NNI's manager that is resumed, after a file of a finished trial was damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nni_earlyexit.evaluation import network_front, record
from nni_earlyexit.search.domain import key
from support import free_port, run_script

pytestmark = pytest.mark.nni

TRIALS = 6

# As after Ctrl-C, when the third result has arrived
SEARCH = """
import os, signal, sys, threading, time
import nni_earlyexit
from nni.nas.experiment import NasExperiment
from nni_earlyexit.experiment.environment import environment

os.environ.update(environment())
trials, port, id = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None
evaluator = nni_earlyexit.EarlyExitEvaluator(data="digits", epochs=1, threads=1)
strategy = nni_earlyexit.SearchStrategy(nni_earlyexit.strategies.create("random", seed=0))
experiment = NasExperiment(nni_earlyexit.search_spaces.create("digits"), evaluator, strategy, id=id)
experiment.config.max_trial_number, experiment.config.trial_concurrency = trials, 1

def interrupt():
    while len(strategy.strategy.trials) < 3:
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

if id is None:
    threading.Thread(target=interrupt, daemon=True).start()
    experiment.run(port)
else:
    experiment.resume(port)
    print(len(experiment.export_top_models(top_k=9, formatter="dict")), "on the front")
    experiment.stop()
"""


def search(home: Path, *more: str) -> str:
    done = run_script(SEARCH, home, TRIALS, free_port(), *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_whole_is_trained_again_and_what_is_damaged_is(tmp_path):
    search(tmp_path)
    experiment = Path(os.path.realpath(tmp_path / "nni-experiments" / "_latest"))

    def finished() -> dict[str, str]:
        return {each.folder.name: key(each.sample) for each in network_front.finished(experiment)}

    first = finished()
    assert 3 <= len(first) < TRIALS - 1
    trials = experiment / "environments" / "local-env" / "trials"
    damaged = min(first, key=lambda trial: (trials / trial / record.SUMMARY).stat().st_mtime)  # its result has arrived
    path = trials / damaged / record.WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])

    assert "on the front" in search(tmp_path, experiment.name)
    after = finished()
    whole = {trial: network for trial, network in first.items() if trial != damaged}
    assert whole.items() <= after.items()
    assert len(after) == TRIALS - 1  # the damaged one has given way to the one that was trained again
    again = [after[name] for name in after.keys() - whole.keys()]
    assert [network for network in again if network in first.values()] == [first[damaged]]
    assert len(set(again)) == len(again)
