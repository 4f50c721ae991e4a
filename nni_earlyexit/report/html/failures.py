"""The failures of a search in words: trials that ended without a result, and what is wrong with networks that have one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from nni_earlyexit.evaluation.nni_database import FAILED
from nni_earlyexit.evaluation.trial_folders import complaint
from nni_earlyexit.report.html.experiment import Experiment

SIGNATURES = {
    "optimism": "The cutoffs promise more accuracy than other inputs get.",
    "idle_exit": "An exit at which (almost) nothing leaves: its branch is paid for and does not help.",
    "wrong_exit": "Inputs leave early and wrong that the last exit would get right.",
    "weak_exit": "An exit that is less accurate than the one before it.",
}
"""The ways in which early exits fail (:mod:`nni_earlyexit.thresholds.diagnostics`)."""

_DETAILS = re.compile(r"'[^']*'|\"[^\"]*\"|/\S+|\d[\d.,e+-]*")
"""Parts of a reason that differ from trial to trial."""


def failures(experiment: Experiment) -> dict[str, Any]:
    """Reasons, how often each was met, and an example, most frequent first; and how many trials still run."""
    reasons, running = [], 0
    for folder in experiment.unfinished:
        job = experiment.database.jobs.get(folder.name)
        said = complaint(experiment.folder, folder.name)
        if (job is not None and not job.over) or (job is None and not said):
            running += 1
        elif job is None or job.state == FAILED:
            reasons.append((folder.name, said or "it ended without a word"))
        else:
            reasons.append((folder.name, f"it was ended from outside ({job.state.lower().replace('_', ' ')})"))
    reasons += [(line.split(":")[0].rpartition("trials/")[2].split("/")[0], line) for line in experiment.damaged]
    over = [trial for trial in experiment.trials if not trial.metrics["feasible"]]
    concerns = [
        (trial.folder.name, diagnostic["name"], diagnostic["message"])
        for trial in experiment.within()
        for diagnostic in trial.diagnostics
        if diagnostic["concern"]
    ]
    signatures = []
    for name, words in SIGNATURES.items():
        own = {trial: message for trial, other, message in concerns if other == name}
        if own:
            trial, message = next(iter(own.items()))
            signatures.append({"words": words, "count": len(own), "example": f"{trial}: {message}"})
    return {
        "failed": grouped(reasons),
        "running": running,
        "over": len(over),
        "untrained": sum(trial.policy is None for trial in over),
        "signatures": sorted(signatures, key=lambda row: -int(str(row["count"]))),
        "within": len(experiment.within()),
    }


def grouped(reasons: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Reasons (trial, sentence) that differ in numbers, names and paths only, as one with its trials; most frequent first."""
    groups: dict[str, dict[str, Any]] = {}
    for trial, reason in reasons:
        own = groups.setdefault(_DETAILS.sub("…", reason), {"reason": reason[:400], "trials": []})
        own["trials"].append(trial)
    return sorted(groups.values(), key=lambda group: -len(group["trials"]))
