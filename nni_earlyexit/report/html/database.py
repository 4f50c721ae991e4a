"""The contents of NNI's database in an experiment's folder: its configuration, and when each trial began and ended."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path("db") / "nni.sqlite"
WAITING, RUNNING, SUCCEEDED, FAILED = "WAITING", "RUNNING", "SUCCEEDED", "FAILED"
STATES = (WAITING, RUNNING, SUCCEEDED, FAILED, "UNKNOWN", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")


@dataclass
class Job:
    """A trial as NNI knows it; times in seconds since 1970, ``None`` where it has not got so far."""

    number: int
    state: str = WAITING
    started_s: float | None = None
    ended_s: float | None = None

    @property
    def over(self) -> bool:
        """``True`` once it has ended, however it did."""
        return self.state not in (WAITING, RUNNING)


@dataclass(frozen=True)
class Database:
    """An experiment as NNI knows it: its configuration, when it began, and its trials by their IDs."""

    config: Mapping[str, Any] = field(default_factory=dict)
    started_s: float | None = None
    jobs: Mapping[str, Job] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """``True`` if as many trials have ended as the experiment was to have."""
        wanted = self.config.get("maxTrialNumber")
        return wanted is not None and sum(job.over for job in self.jobs.values()) >= wanted


def read(experiment: Path) -> Database:
    """The database in the folder of an experiment; an empty one where there is none that can be read."""
    path = experiment / FILE
    if not path.is_file():
        return Database()
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            profile = connection.execute(
                "SELECT params, startTime FROM ExperimentProfile ORDER BY revision DESC LIMIT 1"
            ).fetchone()
            events = connection.execute(
                "SELECT trialJobId, sequenceId, event, timestamp FROM TrialJobEvent ORDER BY timestamp"
            ).fetchall()
        config, started_ms = profile or ("{}", None)
        return Database(json.loads(config), None if started_ms is None else started_ms / 1000, _jobs(events))
    except (sqlite3.Error, ValueError, TypeError):
        return Database()


def _jobs(events: list[tuple[str, int | None, str, int]]) -> dict[str, Job]:
    jobs: dict[str, Job] = {}
    for name, number, event, time_ms in events:
        if event not in STATES:
            continue
        job = jobs.setdefault(name, Job(len(jobs) if number is None else number))
        job.state = event
        if event == RUNNING:
            job.started_s, job.ended_s = time_ms / 1000, None  # a resumed experiment starts a trial again
        elif job.over:
            job.ended_s = time_ms / 1000
    return jobs
