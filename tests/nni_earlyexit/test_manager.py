"""When an experiment has ended, by what NNI says."""

from __future__ import annotations

import pytest
from nni_earlyexit.manager import Manager


@pytest.mark.parametrize(
    ("status", "trials", "submitted", "ended"),
    [
        ("RUNNING", ["SUCCEEDED"], 1, False),
        ("NO_MORE_TRIAL", ["SUCCEEDED"], 1, False),  # DONE follows
        ("DONE", ["SUCCEEDED", "FAILED"], 3, True),
        ("TUNER_NO_MORE_TRIAL", [], 2, False),  # not started yet
        ("TUNER_NO_MORE_TRIAL", ["SUCCEEDED", "RUNNING"], 2, False),
        ("TUNER_NO_MORE_TRIAL", ["SUCCEEDED", "ADD_RESUMED"], 1, False),
        ("TUNER_NO_MORE_TRIAL", ["SUCCEEDED", "USER_CANCELED"], 2, True),
    ],
)
def test_an_experiment_has_ended_when_nothing_runs_and_nothing_will(monkeypatch, status, trials, submitted, ended):
    monkeypatch.setattr(Manager, "get", lambda self, path: {"experiment": {"nextSequenceId": submitted}}[path])
    assert Manager("id", 8080).has_ended(status, [{"status": trial} for trial in trials]) is ended
