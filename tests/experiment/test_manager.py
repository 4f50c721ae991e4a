"""When an experiment has ended, by what NNI says."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest
from nni_earlyexit.experiment.manager import STOPPING_S, Manager, _is_halted, reasons
from support import until


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


BUSY = """
import signal, sys, time

def end(*_):
    time.sleep(7)
    open(sys.argv[-1], "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    time.sleep(1)
"""


def test_a_manager_that_is_busy_has_its_time_to_end_and_one_that_is_halted_has_not(tmp_path):
    words = ["--port", "9", "--experiment-id", "busy1234", "--experiments-directory", str(tmp_path)]
    for halted in (False, True):
        mark = tmp_path / f"ended {halted}"
        process = subprocess.Popen([sys.executable, "-c", BUSY, *words, str(mark)], stdout=subprocess.PIPE)
        process.stdout.readline()
        if halted:
            process.send_signal(signal.SIGSTOP)
            until(partial(_is_halted, psutil.Process(process.pid)))
        start = time.monotonic()
        Manager("busy1234", 9).stop()
        assert mark.exists() is not halted
        assert not halted or time.monotonic() - start < STOPPING_S
        process.wait()
        process.stdout.close()


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
