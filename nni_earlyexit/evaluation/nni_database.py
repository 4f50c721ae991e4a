"""The contents of NNI's database in an experiment's folder: its configuration, and the trials with times and results."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nni_earlyexit.utils.amounts import parse_duration
from nni_earlyexit.utils.checks import is_number, is_whole

FILE = Path("db") / "nni.sqlite"
WAITING, RUNNING, SUCCEEDED, FAILED, UNKNOWN = "WAITING", "RUNNING", "SUCCEEDED", "FAILED", "UNKNOWN"
STATES = (WAITING, RUNNING, SUCCEEDED, FAILED, UNKNOWN, "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")
"""Events that are the state of a trial from then on."""


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
        return self.state not in (WAITING, RUNNING, UNKNOWN)


@dataclass(frozen=True)
class Database:
    """An experiment as NNI knows it.

    Attributes
    ----------
    config
        Its configuration.
    started_s, elapsed_s
        The time at which it began, in seconds since 1970, and the seconds that it has run.
    jobs
        Its trials by their IDs.
    results
        The final results of trials by their IDs, as NNI stores them.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    started_s: float | None = None
    elapsed_s: float = 0.0
    jobs: Mapping[str, Job] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """``True`` if as many trials have ended as the experiment was to have, or all and its time is over."""
        wanted, over = self.config.get("maxTrialNumber"), [job.over for job in self.jobs.values()]
        return (wanted is not None and sum(over) >= wanted) or (self.time_is_over and all(over))

    @property
    def limit_s(self) -> float | None:
        """Seconds that the experiment was to take at most; ``ValueError`` for what is no duration."""
        time = self.config.get("maxExperimentDuration")
        try:
            return None if time is None else parse_duration(time)
        except ValueError as error:
            raise ValueError(f"maxExperimentDuration: {error}") from None

    @property
    def time_is_over(self) -> bool:
        """``True`` if the experiment has run as long as it was to."""
        return self.limit_s is not None and self.elapsed_s >= self.limit_s


def load(experiment: Path) -> Database:
    """The database in the folder of an experiment; ``ValueError`` where there is none that can be read."""
    path = experiment / FILE
    if not path.is_file():
        raise ValueError(f"experiment: {str(experiment)!r} is not the folder of an experiment, which has {FILE}")
    try:
        # only who may write can undo what a manager had half-written when it was killed; elsewhere SQLite reads all the same
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            profile = connection.execute(
                "SELECT params, startTime, execDuration FROM ExperimentProfile ORDER BY revision DESC LIMIT 1"
            ).fetchone()
            events = connection.execute(
                "SELECT trialJobId, sequenceId, event, timestamp FROM TrialJobEvent ORDER BY rowid"
            ).fetchall()
            results = connection.execute(
                "SELECT trialJobId, data FROM MetricData WHERE type = 'FINAL' ORDER BY rowid"
            ).fetchall()
        if profile is None:
            raise ValueError("it has no experiment")
        params, started_ms, elapsed_s = profile
        config = json.loads(params)
        if not isinstance(config, Mapping):
            raise ValueError("its configuration is none")
        most = config.get("maxTrialNumber")
        if most is not None and not is_whole(most):
            raise ValueError(f"maxTrialNumber: {most!r} is no number of trials")
        texts = {trial: data for trial, data in results if isinstance(trial, str) and isinstance(data, str)}
        return Database(config, _seconds(started_ms, 1000), _seconds(elapsed_s), _jobs(events), texts)
    except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"experiment: {str(path)!r} cannot be read: {error}") from None


def read(experiment: Path) -> Database:
    """The database in the folder of an experiment; an empty one where there is none that can be read."""
    try:
        return load(experiment)
    except ValueError:
        return Database()


def _seconds(time: object, unit: int = 1) -> float:
    """A time or duration in seconds, until the year 9999; ``ValueError`` for what is none."""
    if not is_number(time) or not 0 <= float(str(time)) / unit < 2.5e11:
        raise ValueError(f"{time!r} is no time")
    return float(str(time)) / unit


def _jobs(events: list[tuple[str, int | None, str, int]]) -> dict[str, Job]:
    jobs: dict[str, Job] = {}
    for name, number, event, time_ms in events:
        if event not in STATES or not isinstance(name, str) or not is_number(time_ms):
            continue
        job = jobs.setdefault(name, Job(len(jobs) if number is None else number))
        job.state = event
        if event == RUNNING:
            job.started_s, job.ended_s = time_ms / 1000, None  # a resumed experiment starts a trial again
        elif job.over:
            job.ended_s = time_ms / 1000
    return jobs
