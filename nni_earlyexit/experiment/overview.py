"""The state of an experiment, read from its folder alone: NNI's database there has its trials and their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nni_earlyexit.evaluation import nni_database
from nni_earlyexit.evaluation.best_so_far import best_so_far
from nni_earlyexit.evaluation.nni_database import Database
from nni_earlyexit.evaluation.stored_outputs import experiments
from nni_earlyexit.experiment.live import State
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.integration import nni_processes, rest
from nni_earlyexit.utils.amounts import format_macs

DONE, STOPPED, SILENT = "DONE", "STOPPED", "NO ANSWER"
"""Statuses beside NNI's own: where no manager runs, all trials or time were had, or it was stopped; where it says nothing."""
SEARCHING = ("INITIALIZED", "RUNNING", "TUNER_NO_MORE_TRIAL", "NO_MORE_TRIAL")
"""NNI's statuses of an experiment whose trials run or are to come."""
INTERRUPTED = "INTERRUPTED"
"""Status of a trial that ran when the manager ended; a resumed experiment runs it again."""
PATIENCE_S = 3


@dataclass(frozen=True)
class Overview:
    """An experiment.

    Attributes
    ----------
    id, name, folder
        Its ID, its name in its file, and its folder.
    status
        NNI's status where its manager runs, else ``DONE`` or ``STOPPED``.
    port
        Port of the web UI; ``None`` where no manager runs.
    state
        Its trials.
    started
        The time at which it began.
    elapsed_s
        Seconds that it has run.
    limit_s
        Seconds that it may run; ``None`` without a limit.
    """

    id: str
    name: str
    folder: Path
    status: str
    port: int | None
    state: State
    started: datetime
    elapsed_s: float
    limit_s: float | None

    @property
    def counts(self) -> dict[str, int]:
        """Trials by NNI's status, where no manager runs with those that ran then as ``INTERRUPTED``."""
        counts = Counter(str(trial["status"]) for trial in self.state.trials)
        if self.port is None:
            interrupted = sum(counts.pop(status, 0) for status in ("RUNNING", "WAITING"))
            counts.update({INTERRUPTED: interrupted} if interrupted else {})
        return dict(counts)

    @property
    def best(self) -> list[dict[str, Any]]:
        """The networks that no other beats so far, cheapest first."""
        metrics = self.state.metrics
        return [
            {"trial": trial, **{name: metrics[trial].get(name) for name in ("accuracy", "avg_macs", "full_macs")}}
            for trial in best_so_far(metrics).names
        ]

    @property
    def left_s(self) -> float | None:
        """Seconds until it ends, by its limits and its pace so far; ``None`` where it does not run or there is no limit."""
        if self.port is None or self.status in (DONE, STOPPED, "ERROR", "VIEWED"):
            return None
        left = [] if self.limit_s is None else [self.limit_s - self.elapsed_s]
        if self.state.most is not None and self.state.ended:
            left.append(self.elapsed_s / self.state.ended * (self.state.most - self.state.ended))
        return max(0.0, min(left)) if left else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, flat but for ``trials`` by status and the ``best`` networks."""
        return {
            "experiment": self.id,
            "name": self.name,
            "folder": str(self.folder),
            "status": self.status,
            "port": self.port,
            "trials": self.counts,
            "max_trials": self.state.most,
            "best": self.best,
            "hypervolume": best_so_far(self.state.metrics).hypervolume,
            "started": self.started.isoformat(timespec="seconds"),
            "elapsed_s": self.elapsed_s,
            "left_s": self.left_s,
        }


def overview(folder: Path) -> Overview:
    """The experiment in ``folder``; ``ValueError`` where there is none that can be read."""
    folder = folder.resolve()
    stored = nni_database.load(folder)
    most, limit_s = stored.config.get("maxTrialNumber"), stored.limit_s
    manager = next((manager for manager in nni_processes.managers() if manager.id == folder.name), None)
    state = State(_trials(stored), most)
    over = (most is not None and state.ended >= most) or stored.time_is_over
    return Overview(
        id=folder.name,
        name=str(stored.config.get("experimentName") or ""),
        folder=folder,
        status=_status(manager) if manager is not None else DONE if over else STOPPED,
        port=None if manager is None else manager.port,
        state=state,
        started=datetime.fromtimestamp(stored.started_s or 0).astimezone(),
        elapsed_s=stored.elapsed_s,
        limit_s=limit_s,
    )


def is_searching(folder: Path) -> bool:
    """``True`` where trials of the experiment in ``folder`` are still to come."""
    name = folder.resolve().name
    return any(manager.id == name and _status(manager) in SEARCHING for manager in nni_processes.managers())


def overviews() -> Iterator[Overview]:
    """Every experiment that NNI knows on this machine or that runs here, the latest first; what cannot be read is left out."""
    running = {manager.id: manager.folder for manager in nni_processes.managers()}
    readable = []
    for folder in {**experiments(), **running}.values():
        try:
            readable.append(overview(folder))
        except ValueError:
            continue
    yield from sorted(readable, key=lambda each: each.started, reverse=True)


def _trials(stored: Database) -> list[dict[str, Any]]:
    """The trials as :meth:`Manager.trials` gives them."""
    metrics = {trial: rest.unpack(result) for trial, result in stored.results.items()}
    return [
        {"trialJobId": trial, "status": job.state, "metrics": metrics.get(trial)} for trial, job in stored.jobs.items()
    ]


def _status(manager: nni_processes.ManagerProcess) -> str:
    try:
        return str(Manager(manager.id, manager.port).get("check-status", PATIENCE_S)["status"])
    except (rest.NoAnswer, rest.Refused, LookupError, TypeError):
        return SILENT


HEADS = ("experiment", "name", "status", "trials", "best accuracy", "at average MACs", "hypervolume", "began", "left")


def cells(each: Overview) -> list[str]:
    """The line of an experiment in the table of all, by :data:`HEADS`."""
    metrics = each.state.metrics
    best = each.state.best
    return [
        each.id,
        each.name,
        each.status,
        each.state.counts.removesuffix(" trials").replace(" trials", ""),
        f"{best['accuracy']:.4f}" if best else "",
        format_macs(best["avg_macs"]) if best else "",
        f"{best_so_far(metrics).hypervolume:.3f}" if best else "",
        f"{each.started:%Y-%m-%d %H:%M}",
        clock(each.left_s),
    ]


def clock(seconds: float | None) -> str:
    """Hours, minutes and seconds; nothing where there is no time."""
    if seconds is None:
        return ""
    minutes, rest_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest_s:02}" if hours else f"{minutes}:{rest_s:02}"
