"""One network of the front: its parts, its whole trade-off, its calibration, and where some inputs leave.

All of it is by the validation split, as the search saw it. The calibration split, which had no part in it, says what the same
cutoffs keep. The test split is not opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nni_earlyexit.evaluation.record import OUTPUTS, Record
from nni_earlyexit.report.html.experiment import Experiment
from nni_earlyexit.report.html.trials import architecture
from nni_earlyexit.thresholds import outputs_file
from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer
from nni_earlyexit.thresholds.policy_front import Front
from nni_earlyexit.utils.files import finite_or_none
from numpy.typing import NDArray

MOST_POINTS = 200
"""Most points of a trade-off on the page; those with the least area of their own are left out."""
BINS = 10


@dataclass(frozen=True)
class Fitted:
    """A trained network with its trade-off.

    Attributes
    ----------
    logits, labels
        What its exits say on the validation split (inputs, exits, classes), and the classes (inputs,).
    held_out
        The same of the calibration split.
    optimizer
        Fitted to the validation split, for the goal of the trial.
    points
        Points of the optimizer's front that the page shows.
    reported
        Position among ``points`` of the one that the trial reported.
    branch_costs
        MACs of each exit branch alone.
    """

    trial: Record
    logits: NDArray[np.floating]
    labels: NDArray[np.integer]
    held_out: tuple[NDArray[np.floating], NDArray[np.integer]]
    optimizer: ThresholdOptimizer
    points: Front
    reported: int
    exit_costs: NDArray[np.number]
    branch_costs: NDArray[np.number]

    def exits(self, members: NDArray[np.intp], point: int) -> NDArray[np.intp]:
        """The exit that some of the validation inputs leave at under the policy of a point."""
        return self.optimizer.policy_of(self.points[point]).exits(self.logits[members])


def fit(trial: Record) -> Fitted:
    """The trade-off of a trial, from its stored outputs; ``ValueError`` or ``OSError`` for ones that cannot be read."""
    stored = outputs_file.load(trial.file(OUTPUTS))
    if "validation" not in stored.logits:
        raise ValueError("it keeps no outputs on the validation split")
    logits, labels = stored.logits["validation"], stored.labels["validation"]
    branches = np.zeros(len(stored.exit_costs)) if stored.branch_costs is None else stored.branch_costs
    limit = trial.settings.limits.max_avg_macs
    optimizer = trial.settings.goal.optimizer(limit)
    optimizer.fit_closest(logits, labels, stored.exit_costs, branch_costs=branches)
    front = optimizer.front_
    reported = int(np.abs(front.avg_cost - trial.metrics["avg_macs"]).argmin())
    kept = np.isin(front.avg_cost, front.thinned(MOST_POINTS).avg_cost)
    kept[reported] = True
    return Fitted(
        trial,
        logits,
        labels,
        (stored.logits["calibration"], stored.labels["calibration"]),
        optimizer,
        front[kept],
        int(kept[:reported].sum()),
        stored.exit_costs,
        branches,
    )


def network(experiment: Experiment, fitted: Fitted, members: NDArray[np.intp]) -> dict[str, Any]:
    """All that the page shows of a network; ``members`` are the validation inputs that it shows the pictures of."""
    trial, points, optimizer = fitted.trial, fitted.points, fitted.optimizer
    judged = optimizer.judge(*fitted.held_out, points=list(points))
    probabilities = _probabilities(fitted.logits)
    return {
        "id": trial.folder.name,
        "architecture": architecture(experiment, trial),
        "full_macs": int(fitted.exit_costs[-1]),
        "params": trial.metrics.get("params"),
        "limit": trial.settings.limits.max_avg_macs,
        "inputs": len(fitted.labels),
        "held_out_inputs": len(fitted.held_out[1]),
        "confidence": optimizer.confidence,
        "parts": parts(experiment, fitted),
        "reported": fitted.reported,
        "points": {
            "accuracy": _rounded(points.accuracy, 6),
            "avg_macs": _rounded(points.avg_cost, 1),
            "shares": [_rounded(row, 8) for row in points.shares],
            "cutoffs": [
                [None if c is None else float(f"{c:.6g}") for c in finite_or_none(row)] for row in points.cutoffs
            ],
            "kept_accuracy": _rounded(judged.accuracy, 6),
            "kept_macs": _rounded(judged.avg_cost, 1),
        },
        "alone": {
            "accuracy": _rounded(optimizer.single_exit_accuracies_, 6),
            "macs": _rounded(optimizer.single_exit_costs_, 1),
        },
        "calibration": [reliability(probabilities[:, exit], fitted.labels) for exit in range(probabilities.shape[1])],
        "concerns": [str(diagnostic["message"]) for diagnostic in trial.diagnostics if diagnostic["concern"]],
        "inputs_leave": ["".join(map(_digit, fitted.exits(members, k))) for k in range(len(points))]
        if len(members)
        else [],
        "inputs_said": fitted.logits[members].argmax(axis=-1).tolist() if len(members) else [],
    }


def parts(experiment: Experiment, fitted: Fitted) -> list[dict[str, Any]]:
    """The network from its input to its last exit, a row for each exit.

    Each has the ``stages`` of the backbone since the exit before (their number and layers), the MACs of those, the ``layers``
    and MACs of the exit's own branch, and the MACs to leave there. Without the space, layers are not known.
    """
    trial = fitted.trial
    backbone = np.diff(fitted.exit_costs - fitted.branch_costs.cumsum(), prepend=0)
    after: Sequence[int] = range(len(fitted.exit_costs))
    has_space = experiment.has_space_of(trial)
    if has_space:
        after = experiment.exit_stages(trial)
    active = experiment.active(trial.sample)

    def layers(prefix: str) -> list[str]:
        return [
            str(value)
            for label, value in trial.sample.items()
            if label in active and label.startswith(prefix) and not label.endswith(("_depth", "_present"))
        ]

    rows, first = [], 0
    for exit, stage in enumerate(after):
        numbers = range(first, stage + 1)
        rows.append(
            {
                "stages": [
                    {"stage": number, "layers": layers(f"stage{number}_") if has_space else []} for number in numbers
                ],
                "backbone_macs": int(backbone[exit]),
                "layers": layers(f"exit{stage}_") if has_space else [],
                "branch_macs": int(fitted.branch_costs[exit]),
                "exit_macs": int(fitted.exit_costs[exit]),
                "last": exit == len(after) - 1,
            }
        )
        first = stage + 1
    return rows


def reliability(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, Any]:
    """The reliability of one exit: mean confidence, accuracy and number of inputs in bins of equal width, and their mean gap.

    ``probabilities`` are (inputs, classes). ``ece`` is the expected calibration error (Guo et al., arXiv 1706.04599).
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    mean = np.bincount(bins, weights=confidence, minlength=BINS)[filled] / counts[filled]
    accuracy = np.bincount(bins, weights=right, minlength=BINS)[filled] / counts[filled]
    return {
        "confidence": _rounded(mean, 4),
        "accuracy": _rounded(accuracy, 4),
        "count": counts[filled].tolist(),
        "ece": round(float(np.abs(mean - accuracy) @ counts[filled] / len(labels)), 5),
    }


def _probabilities(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    from scipy.special import softmax

    result: NDArray[np.floating] = softmax(logits.astype(float), axis=-1)
    return result


def _digit(exit: int) -> str:
    """One character for an exit, as JavaScript's ``parseInt(_, 36)`` reads it; networks have fewer than 36."""
    return "0123456789abcdefghijklmnopqrstuvwxyz"[exit]


def _rounded(values: NDArray[np.floating], digits: int) -> list[float]:
    return [float(value) for value in np.round(values.astype(float), digits)]
