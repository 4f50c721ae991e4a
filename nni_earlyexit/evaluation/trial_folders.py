"""The folders of an experiment's trials on NNI's local platform, and what trials wrote last."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

LOCKED_UP = "Timeout ("
"""The beginning of the lines that faulthandler writes before it ends a process."""

HERE = "local-env"
"""The environment of trials on this machine; those of others lie in others when they are fetched."""

FURTHER, FROM_SCRATCH = "trained-further", "trained-from-scratch"
"""Environments of the networks that were trained again after the search."""


def is_again(folder: Path) -> bool:
    """``True`` for the folder of a network that was trained again after the search."""
    return _environment(folder) in (FURTHER, FROM_SCRATCH)


def origin(folder: Path) -> str:
    """The way in which the network in the folder of a trial was trained again after the search; nothing if it was not."""
    return _environment(folder).replace("-", " ") if is_again(folder) else ""


def _environment(folder: Path) -> str:
    return folder.parent.parent.name


def trial_folder(experiment: Path, trial_job: str) -> Path:
    """The folder of a trial on this machine."""
    return experiment / "environments" / HERE / "trials" / trial_job


def trial_folders(experiment: Path) -> list[Path]:
    """The folders of an experiment's trials on NNI's local platform."""
    return sorted(experiment.glob("environments/*/trials/*"))


def complaint(folder: Path, trial_job: str) -> str:
    """The last thing that a trial wrote to its standard error, if anything."""
    for errors in folder.glob(f"environments/*/trials/{trial_job}/trial.stderr"):
        with suppress(OSError):
            lines = errors.read_text(errors="replace").strip().splitlines()
            if any(line.startswith(LOCKED_UP) for line in lines):
                return f"trial-timeout: not finished in time, and locked up in code that is not Python; where is in {errors}"
            if lines:
                return lines[-1]
    return ""


def first_complaint(folder: Path) -> str:
    """The last thing that the first failed trial wrote, if anything, or where to look where there are no trials at all."""
    if not (folder / "environments").is_dir():
        return (
            "; there is no folder 'environments' in it, where trials write: those of trials on other machines lie there, and "
            f"'nni-earlyexit fetch {folder}' copies them"
        )
    for trial_folder in trial_folders(folder):
        is_finished = (trial_folder / "trial.json").is_file()
        if not is_finished and (said := complaint(folder, trial_folder.name)):
            return f"; a trial said: {said}"
    return ""
