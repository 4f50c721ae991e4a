"""Trials and their choices as columns, which the page's table, charts and parallel coordinates share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nni_earlyexit.evaluation.record import OUTPUTS, Record
from nni_earlyexit.evaluation.trial_folders import origin
from nni_earlyexit.report.html.experiment import Experiment
from nni_earlyexit.search.metrics import exit_metric
from nni_earlyexit.utils.non_dominance import non_dominated

NUMBERS = ("accuracy", "avg_macs", "full_macs", "params", "latency_s", "optimism", "concerns", "train_seconds")
"""Metrics that the page shows of every trial, where it has them."""
INACTIVE = -1
"""Code of a choice that makes no difference in a network."""


def columns(experiment: Experiment) -> dict[str, Any]:
    """One list for each thing that is said of a finished trial, in the order in which they ended."""
    trials, jobs = experiment.trials, experiment.database.jobs
    front = {trial.folder for trial in experiment.front}
    numbers = {
        name: [_rounded(trial.metrics.get(name)) for trial in trials]
        for name in NUMBERS
        if any(name in trial.metrics for trial in trials)
    }
    return {
        "id": [trial.folder.name for trial in trials],
        "number": [jobs[trial.folder.name].number if trial.folder.name in jobs else None for trial in trials],
        "within": [bool(trial.metrics["feasible"]) for trial in trials],
        "front": [trial.folder in front for trial in trials],
        "remark": [origin(trial.folder) for trial in trials],
        "ended_s": [round(seconds, 1) for seconds in experiment.ended_s],
        "architecture": [architecture(experiment, trial) for trial in trials],
        **numbers,
    }


def architecture(experiment: Experiment, trial: Record) -> str:
    """The network of a trial in one line."""
    if experiment.space is not None and experiment.has_space_of(trial):
        return experiment.space.describe(trial.sample)
    return " ".join(f"{label}={value}" for label, value in trial.sample.items())


def choices(experiment: Experiment) -> list[dict[str, Any]]:
    """Each choice of the space: its ``label``, its ``values``, and the ``codes`` of the trials, positions among the values.

    A choice that every trial has alike is left out.
    """
    trials = experiment.trials
    active = [experiment.active(trial.sample) for trial in trials]
    rows = []
    for label, values in _values(experiment).items():
        position = {repr(value): code for code, value in enumerate(values)}
        codes = [
            position.get(repr(trial.sample.get(label)), INACTIVE) if label in own else INACTIVE
            for trial, own in zip(trials, active, strict=True)
        ]
        if len(set(codes)) > 1:
            rows.append({"label": label, "values": values, "codes": codes})
    return rows


def _values(experiment: Experiment) -> Mapping[str, Sequence[Any]]:
    """Every label with its possible values, or with those that occur where the space is not there to tell."""
    if experiment.space is not None:
        return experiment.space.choices
    seen: dict[str, dict[str, Any]] = {}
    for trial in experiment.trials:
        for label, value in trial.sample.items():
            seen.setdefault(label, {}).setdefault(repr(value), value)
    return {label: [values[key] for key in sorted(values)] for label, values in seen.items()}


def static_front(experiment: Experiment) -> dict[str, list[float]]:
    """The best static networks of the search: one exit of a trial for every input, the branches before it not run.

    Validation accuracy and MACs of those that no other one beats, cheapest first; empty where the space is not there to tell
    which exits a trial has.
    """
    points: list[tuple[float, float, str]] = []
    for trial in experiment.within():
        if not experiment.has_space_of(trial) or trial.policy is None:
            continue
        try:
            with np.load(trial.folder / OUTPUTS, allow_pickle=False) as stored:
                costs, branches = stored["exit_costs"], stored["branch_costs"]
        except Exception:  # a damaged file can hold anything; the trial itself is shown all the same
            continue
        alone = costs - branches.cumsum() + branches
        points += [
            (float(cost), -float(trial.metrics[exit_metric(stage, "accuracy")]), trial.folder.name)
            for cost, stage in zip(alone, experiment.exit_stages(trial), strict=True)
        ]
    best = non_dominated([point[:2] for point in points]).tolist() if points else []
    return {
        "avg_macs": [points[i][0] for i in best],
        "accuracy": [-points[i][1] for i in best],
        "id": [points[i][2] for i in best],
    }


def _rounded(value: object) -> float | int | None:
    """A number with no more digits than a reader can use, so that the file stays small."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, int) else float(f"{value:.7g}")
