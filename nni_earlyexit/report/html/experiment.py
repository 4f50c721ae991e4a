"""An experiment, read from its folder alone: finished trials in the order in which they ended, and all that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation import nni_database
from nni_earlyexit.evaluation.network_front import best_of, finished, objectives_of
from nni_earlyexit.evaluation.nni_database import Database
from nni_earlyexit.evaluation.record import SUMMARY, Record
from nni_earlyexit.evaluation.trial_folders import is_again, trial_folders
from nni_earlyexit.nn.mutables import PRESENT
from nni_earlyexit.utils.errors import sentence

if TYPE_CHECKING:
    from nni_earlyexit.space.base import EarlyExitSpace


@dataclass(frozen=True)
class Experiment:
    """An experiment of one or more trials.

    Attributes
    ----------
    folder
        Its folder.
    trials
        Its finished trials, those over a limit included, in the order in which they ended.
    ended_s
        Seconds from its start until each of them ended.
    unfinished
        Folders of trials without a result: they run, or they failed.
    front
        The trials that no other beats, cheapest first, by validation metrics and the objectives of the search.
    space
        The search space, or ``None`` where it cannot be built here; ``without_space`` says why.
    damaged
        Sentences on trials that cannot be read.
    """

    folder: Path
    trials: Sequence[Record]
    ended_s: Sequence[float]
    unfinished: Sequence[Path]
    front: Sequence[Record]
    objectives: Mapping[str, str]
    database: Database
    space: EarlyExitSpace | None
    without_space: str
    damaged: Sequence[str]

    @property
    def name(self) -> str:
        """Its ID, which its folder is called by."""
        return self.folder.resolve().name

    def within(self) -> list[Record]:
        """The trials of the search that keep the limits: not those that were trained again after it."""
        return [trial for trial in self.trials if trial.metrics["feasible"] and not is_again(trial.folder)]

    def has_space_of(self, trial: Record) -> bool:
        """``True`` if ``trial`` is of the space that could be built."""
        return self.space is not None and trial.space == self.space.identity()

    def exit_stages(self, trial: Record) -> list[int]:
        """The stage that each exit of a trial comes after, first exit first; of a trial that :meth:`has_space_of` knows."""
        exits = () if self.space is None else self.space.network.exits
        return [int(stage) for stage in exits if trial.sample.get(f"exit{stage}_present", PRESENT) == PRESENT]

    def active(self, sample: Mapping[str, Any]) -> set[str]:
        """The labels of a sample that make a difference; all where the space is not there to tell."""
        return set(sample if self.space is None else self.space.active(sample))


def read(folder: Path) -> Experiment:
    """The experiment in ``folder``; ``ValueError`` where no trial lies, finished or not."""
    said: list[str] = []
    trials = finished(folder, said.append)
    stored = nni_database.read(folder)
    folders = trial_folders(folder)
    if not folders:
        raise ValueError(f"experiment: there are no trials in {str(folder)!r}; the folder of an experiment is needed")
    ended = {trial.folder: _ended_s(trial, stored) for trial in trials}
    started = stored.started_s
    if started is None:
        started = min((ended[trial.folder] - trial.metrics.get("train_seconds", 0) for trial in trials), default=0.0)
    ordered = sorted(trials, key=lambda trial: (is_again(trial.folder), ended[trial.folder]))
    space, why = _space(ordered)
    objectives = objectives_of(folder)
    return Experiment(
        folder=folder,
        trials=ordered,
        ended_s=[max(0.0, ended[trial.folder] - started) for trial in ordered],
        unfinished=[path for path in folders if not (path / SUMMARY).is_file()],
        front=best_of(ordered, objectives),
        objectives=objectives,
        database=stored,
        space=space,
        without_space=why,
        damaged=[line.removeprefix("left out: ") for line in said],
    )


def _ended_s(trial: Record, stored: Database) -> float:
    job = stored.jobs.get(trial.folder.name)
    if job is not None and job.ended_s is not None:
        return job.ended_s
    return (trial.folder / SUMMARY).stat().st_mtime


def _space(trials: Sequence[Record]) -> tuple[EarlyExitSpace | None, str]:
    """The space of the trials, or why there is none."""
    name = next((trial.space for trial in trials if trial.space is not None), None)
    if name is None:
        return None, "the trials do not say which space they are of"
    try:
        return search_spaces.restore(name), ""
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        return None, sentence(error)
