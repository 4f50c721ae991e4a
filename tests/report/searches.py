"""A search of digits for the tests of the report: really trained networks in the folder of an experiment, as NNI leaves it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import torch
from nni_database import TABLES
from nni_earlyexit import EarlyExitEvaluator
from nni_earlyexit.evaluation import record

START_MS = 1_700_000_000_000
CHANGES = {
    "aaaaa": {},
    "bbbbb": {"stage1_depth": 2},
    "ccccc": {"exit1_present": "yes"},
    "ddddd": {"exit1_present": "yes", "stage0_depth": 2},
    "eeeee": {"exit2_present": "yes", "stage3_block0": "mb_k3_e2"},
    "fffff": {"stage2_block0": "fused_k3_e2"},
}
OVER, FAILED, RUNNING = "over1", "fail1", "run01"
FAILURES = {FAILED: "RuntimeError: out of 12 GB of memory", "fail2": "RuntimeError: out of 7 GB of memory"}


def write_search(folder, space, sample, names=tuple(CHANGES)):
    """Train networks for two epochs each into ``folder``; one more misses a limit, some fail, one runs."""
    trials = folder / "environments" / "local-env" / "trials"
    for name in names:
        evaluator = EarlyExitEvaluator(epochs=2, threads=1, seed=1)
        torch.manual_seed(0)
        evaluation = evaluator.evaluate(space.freeze(space.canonical({**sample, **CHANGES[name]})))
        record.save(evaluation, trials / name, evaluator.settings)
    evaluator = EarlyExitEvaluator(max_full_macs=90_000)
    record.save(evaluator.evaluate(space.freeze(sample)), trials / OVER, evaluator.settings)
    for name, said in {**FAILURES, RUNNING: ""}.items():
        (trials / name).mkdir()
        (trials / name / "trial.stderr").write_text(f"Traceback (most recent call last):\n{said}\n" if said else "")
    ends = {**dict.fromkeys([*names, OVER], "SUCCEEDED"), **dict.fromkeys(FAILURES, "FAILED"), RUNNING: None}
    write_database(folder, ends)
    return folder


def write_database(folder, ends, most=20):
    """NNI's database with a trial a minute, which took 30 seconds and ended as ``ends`` says."""
    config = {
        "experimentName": "digits of a test",
        "maxTrialNumber": most,
        "trialCommand": "python -m nni_earlyexit.trial",
    }
    (folder / "db").mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "db" / "nni.sqlite")) as connection, connection:
        connection.executescript(TABLES)
        connection.execute(
            "INSERT INTO ExperimentProfile VALUES (?, 'test', 0, ?, NULL, '', 0, 1)", (json.dumps(config), START_MS)
        )
        for number, (name, end) in enumerate(ends.items()):
            start = START_MS + 60_000 * number
            for event, time_ms in (("WAITING", start), ("RUNNING", start), (end, start + 30_000)):
                if event is not None:
                    connection.execute(
                        "INSERT INTO TrialJobEvent VALUES (?, ?, ?, NULL, NULL, ?, NULL, 'local-env')",
                        (time_ms, name, event, number),
                    )
