"""The report of searches that run: written anew whenever a trial has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nni_earlyexit.evaluation import nni_database
from nni_earlyexit.evaluation.record import SUMMARY
from nni_earlyexit.evaluation.trial_folders import trial_folders
from nni_earlyexit.report.html.page import write_report
from nni_earlyexit.utils.progress import Say


def follow(
    folders: Sequence[Path],
    path: Path,
    say: Say = print,
    *,
    every_s: float,
    judged: Path | None = None,
    sleep: Callable[[float], Any] = time.sleep,
) -> None:
    """Write the report until as many trials have ended as the experiments were to have, or until Ctrl-C.

    It looks every ``every_s`` seconds, and the page loads itself again as often. The last report stays as it is.
    """
    written: object = None
    waited = False
    try:
        while True:
            stored = [nni_database.read(folder) for folder in folders]
            waits = [folder for folder, own in zip(folders, stored, strict=True) if not _has_begun(folder, own)]
            if waits:
                if not waited:
                    say(f"waits for the first trial in {waits[0]}")
                waited = True
                sleep(every_s)
                continue
            if written != (now := _results(folders, stored)):
                write_report(folders, path, say, refresh_s=every_s, judged=judged)
                written = now
            if all(own.complete for own in stored):
                break
            sleep(every_s)
    finally:
        if written is not None:
            write_report(folders, path, say, judged=judged)


def _has_begun(folder: Path, stored: nni_database.Database) -> bool:
    """``False`` for the folder of an experiment that has no trial yet; of another folder, the report says what is missing."""
    return bool(trial_folders(folder)) or not stored.config or stored.complete


def _results(folders: Sequence[Path], stored: Sequence[nni_database.Database]) -> object:
    """All that makes another report: which trials have a result, and which have ended without."""
    finished = [own.name for folder in folders for own in trial_folders(folder) if (own / SUMMARY).is_file()]
    over = [name for own in stored for name, job in own.jobs.items() if job.over]
    return finished, over
