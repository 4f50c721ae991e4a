"""Reasons not to trust cutoffs: the ways in which early exits fail, each named and with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from nni_earlyexit.thresholds.exit_outputs import Outputs, checked
from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer
from nni_earlyexit.thresholds.policy import ExitPolicy
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import KFold

FOLDS = 5
OPTIMISM = 0.01
"""Accuracy that is lost on other inputs, from which on it is a concern."""
IDLE = 0.01
"""Share of inputs below which an exit hardly ever fires."""
WRONG = 0.05
"""Accuracy that the last exit would gain on the inputs that leave at an exit, from which on it is a concern."""


@dataclass(frozen=True)
class Diagnostic:
    """One finding.

    Attributes
    ----------
    name
        ``optimism``: cutoffs promise more accuracy than they give on other inputs. ``idle_exit``: (almost) nothing leaves
        there. ``wrong_exit``: what leaves there is wrong where the last exit is right. ``weak_exit``: less accurate than the
        exit before.
    exit
        Exit that it is about, from 0; ``None`` for all of them.
    numbers
        The measurements, by their names.
    concern
        ``True`` if it is bad enough to say so.
    message
        One sentence.
    """

    name: str
    exit: int | None
    numbers: Mapping[str, float]
    concern: bool
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def diagnose(
    optimizer: ThresholdOptimizer,
    logits: ArrayLike,
    y: ArrayLike | None,
    costs: ArrayLike,
    *,
    policy: ExitPolicy | None = None,
    branch_costs: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    scores: ArrayLike | None = None,
) -> list[Diagnostic]:
    """Findings about a fitted ``optimizer`` on the data that it was fitted to: the optimism, then each concern.

    ``policy`` is the one in question, by default the chosen one. Parameters are those of :meth:`ThresholdOptimizer.fit`;
    the optimism takes five fits more.
    """
    outputs = checked(logits, y, sample_weight, scores, optimizer.scoring)
    exits = (policy or optimizer.policy_).exits(outputs.logits)
    labels = None if y is None else np.asarray(y)
    return [
        _optimism(optimizer, outputs, labels, costs, branch_costs),
        *_idle(exits, outputs),
        *_wrong(exits, outputs),
        *_weak(outputs),
    ]


def _optimism(
    optimizer: ThresholdOptimizer,
    outputs: Outputs,
    y: NDArray[np.integer] | None,
    costs: ArrayLike,
    branch_costs: ArrayLike | None,
) -> Diagnostic:
    """The cross-validated gap: accuracy and cost of the policy that the goal picks, on its own data and on other data."""
    folds = min(FOLDS, len(outputs))
    gaps, cost_gaps = [0.0], [0.0]
    if folds > 1:
        gaps, cost_gaps = [], []
        for fitted, held in KFold(folds, shuffle=True, random_state=optimizer.random_state).split(outputs.scores):
            own, other = outputs.take(fitted), outputs.take(held)
            if not own.weights.any() or not other.weights.any():
                continue
            fold = clone(optimizer).set_params(guarantee=None)
            point = fold.fit_closest(
                own.logits,
                None if y is None else y[fitted],
                costs,
                branch_costs=branch_costs,
                sample_weight=own.weights,
                scores=own.scores,
            ).chosen_
            held_out = fold.judge(other.logits, None, sample_weight=other.weights, scores=other.scores, points=[point])[
                0
            ]
            gaps.append(point.accuracy - held_out.accuracy)
            cost_gaps.append(held_out.avg_cost / point.avg_cost - 1)
    gap, cost = float(np.mean(gaps)), float(np.mean(cost_gaps))
    return Diagnostic(
        "optimism",
        exit=None,
        numbers={"accuracy": gap, "cost": cost, "inputs": len(outputs)},
        concern=gap > OPTIMISM,
        message=f"fitted to {len(outputs)} inputs, other inputs get {-gap:+.4f} accuracy at {cost:+.1%} cost",
    )


def _idle(exits: NDArray[np.intp], outputs: Outputs) -> list[Diagnostic]:
    diagnostics = []
    for k in range(outputs.scores.shape[1]):
        share = float(outputs.weights[exits == k].sum() / outputs.weights.sum())
        if share < IDLE:
            how = "nothing leaves" if share == 0 else f"only {share:.2%} of the inputs leave"
            diagnostics.append(Diagnostic("idle_exit", k, {"share": share}, concern=True, message=f"{how} at exit {k}"))
    return diagnostics


def _wrong(exits: NDArray[np.intp], outputs: Outputs) -> list[Diagnostic]:
    diagnostics = []
    for k in range(outputs.scores.shape[1] - 1):
        leaving = exits == k
        weights = outputs.weights[leaving]
        if weights.sum() < IDLE * outputs.weights.sum():
            continue
        here, last = (float(np.average(outputs.scores[leaving, exit], weights=weights)) for exit in (k, -1))
        if last - here > WRONG:
            numbers = {"accuracy": here, "last_accuracy": last, "share": float(weights.sum() / outputs.weights.sum())}
            message = f"what leaves at exit {k} is right for {here:.1%}, at the last exit for {last:.1%}"
            diagnostics.append(Diagnostic("wrong_exit", k, numbers, concern=True, message=message))
    return diagnostics


def _weak(outputs: Outputs) -> list[Diagnostic]:
    diagnostics = []
    for k in range(1, outputs.scores.shape[1]):
        change = outputs.scores[:, k] - outputs.scores[:, k - 1]
        weights = outputs.weights / outputs.weights.sum()
        worse = -float(change @ weights)
        # two standard errors, so that it is not noise
        if worse > 2 * float(np.sqrt(((change + worse) ** 2) @ weights**2)) and worse > 0:
            before, here = (float(outputs.scores[:, exit] @ weights) for exit in (k - 1, k))
            message = f"exit {k} is right for {here:.1%}, exit {k - 1} before it for {before:.1%}"
            numbers = {"accuracy": here, "accuracy_before": before}
            diagnostics.append(Diagnostic("weak_exit", k, numbers, concern=True, message=message))
    return diagnostics
