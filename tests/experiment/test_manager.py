"""When an experiment has ended, by what NNI says."""

from __future__ import annotations

import pytest
from nni_earlyexit.experiment.manager import Manager, reasons


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


DISPATCHER = """[2026-11-25 10:00:00] INFO (nni.runtime.msg_dispatcher_base/MainThread) Dispatcher started
[2026-11-25 10:00:01] ERROR (nni.main/MainThread) no such luck
Traceback (most recent call last):
"""
MANAGER = """[2026-11-25 10:00:00] INFO (main) Start NNI manager
[2026-11-25 10:00:09] ERROR (NNIManager) Error: Job management error: SQLITE_FULL: database or disk is full
    at somewhere
[2026-11-25 10:00:10] INFO (ShutdownManager) Initiate shutdown: 1
"""


@pytest.mark.parametrize(
    ("logs", "reason"),
    [
        ({"dispatcher.log": DISPATCHER}, "no such luck"),
        (
            {"nnimanager.log": MANAGER},
            "NNI's manager says: Error: Job management error: SQLITE_FULL: database or disk is full",
        ),
        ({"dispatcher.log": DISPATCHER, "nnimanager.log": MANAGER}, "no such luck; NNI's manager says: Error: Job"),
        (
            {
                "nnimanager.log": MANAGER
                + "[2026-11-25 10:00:11] ERROR (NNIDataStore) Found multiple FINAL results for a\n"
            },
            "NNI's manager says: Error: Job management error: SQLITE_FULL: database or disk is full",
        ),
        ({}, "no reason is in its logs, "),
    ],
)
def test_why_nni_failed_is_read_from_both_logs(tmp_path, logs, reason):
    (tmp_path / "log").mkdir()
    for name, text in logs.items():
        (tmp_path / "log" / name).write_text(text)
    assert reasons(tmp_path).startswith(reason)
