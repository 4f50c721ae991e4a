"""Progress of a search: the best accuracy so far, and the hypervolume of all trade-offs so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nni_earlyexit.evaluation.best_so_far import hypervolume, trade_off
from nni_earlyexit.evaluation.trial_folders import is_again
from nni_earlyexit.report.html.experiment import Experiment
from nni_earlyexit.search.archive import Archive


def progress(experiments: Sequence[Experiment]) -> list[dict[str, list[float]]]:
    """For each experiment, after each trial of its search: ``seconds``, ``best`` accuracy, and ``hypervolume``.

    The hypervolume is that of :func:`nni_earlyexit.evaluation.best_so_far.best_so_far`, up to the dearest network of all
    experiments, so that they can be compared.
    """
    full = [trial.metrics["full_macs"] for experiment in experiments for trial in experiment.within()]
    return [_of_one(experiment, max(full, default=1)) for experiment in experiments]


def _of_one(experiment: Experiment, dearest: float) -> dict[str, list[float]]:
    points = Archive(2)
    rows: dict[str, list[Any]] = {"seconds": [], "best": [], "hypervolume": []}
    best, share = 0.0, 0.0
    for trial, seconds in zip(experiment.trials, experiment.ended_s, strict=True):
        if is_again(trial.folder):
            continue
        if trial.metrics["feasible"]:
            best = max(best, trial.metrics["accuracy"])
            points.add(trial.folder.name, trade_off(trial.metrics))
            share = hypervolume(points.points.tolist(), dearest)
        for name, value in (("seconds", seconds), ("best", best), ("hypervolume", share)):
            rows[name].append(round(value, 6))
    return rows
