"""Each exit's outputs on held-out inputs, which cutoffs are fitted to, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from nni_earlyexit.utils.checks import unknown
from numpy.typing import ArrayLike, NDArray

SCORINGS = ("accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class Outputs:
    """One set of inputs: logits (inputs, exits, classes), scores (inputs, exits), weights (inputs,)."""

    logits: NDArray[np.floating]
    scores: NDArray[np.floating]
    weights: NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.logits)

    def take(self, index: NDArray[np.intp]) -> Outputs:
        """The outputs of the inputs at ``index`` only."""
        return Outputs(self.logits[index], self.scores[index], self.weights[index])


def checked(
    logits: ArrayLike,
    y: ArrayLike | None,
    sample_weight: ArrayLike | None = None,
    scores: ArrayLike | None = None,
    scoring: str | ArrayLike = "accuracy",
) -> Outputs:
    """The outputs with what each is worth; ``ValueError`` in one sentence when they do not fit together.

    ``scoring`` says what is worth how much when no ``scores`` (inputs, exits) are given: ``"accuracy"``,
    ``"balanced_accuracy"`` (every class weighs the same) or a matrix, the score of (class, predicted class).
    """
    outputs = _array("logits", logits)
    if outputs.ndim != 3:
        raise ValueError(f"logits: shape {outputs.shape} does not fit; (inputs, exits, classes) is needed")
    inputs, exits, classes = outputs.shape
    if inputs == 0 or exits == 0 or classes < 2:
        what = "no inputs" if inputs == 0 else "no exits" if exits == 0 else f"{classes} classes"
        raise ValueError(f"logits: {what}; cutoffs can only be fitted to outputs on held-out data")
    if not np.issubdtype(outputs.dtype, np.number) or np.iscomplexobj(outputs):
        raise ValueError(f"logits: {outputs.dtype} are not numbers")
    if not np.isfinite(outputs).all():
        raise ValueError("logits: they hold NaN or infinite values")
    weights = _checked_weights(sample_weight, inputs)
    labels = None if y is None else _checked_labels(y, inputs, classes)
    if scores is not None:
        worth = _array("scores", scores, np.float64)
        if worth.shape != (inputs, exits):
            raise ValueError(f"scores: shape {worth.shape} does not fit; {(inputs, exits)} (inputs, exits) is needed")
        if not np.isfinite(worth).all():
            raise ValueError("scores: they hold NaN or infinite values")
        return Outputs(outputs, worth, weights)
    if labels is None:
        raise ValueError("y: classes (inputs,) are needed where no scores are given")
    predicted = outputs.argmax(axis=-1)
    if not isinstance(scoring, str):
        return Outputs(outputs, _checked_matrix(scoring, classes)[labels[:, None], predicted], weights)
    if scoring not in SCORINGS:
        raise unknown("scoring", scoring, [*SCORINGS, "a matrix (classes, classes)"])
    if scoring == "balanced_accuracy":
        share = np.bincount(labels, weights=weights, minlength=classes)
        weights = np.where(weights > 0, weights / np.maximum(share[labels], 1e-300), 0)
        weights *= inputs / weights.sum()
    return Outputs(outputs, (predicted == labels[:, None]).astype(np.float64), weights)


def _array(name: str, value: ArrayLike, kind: type[np.float64] | None = None) -> NDArray[Any]:
    """``value`` as an array of type ``kind`` or, by default, of its own; ``ValueError`` with its name when it is none."""
    try:
        return np.asarray(value, dtype=kind)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: they are no array of numbers") from None


def _checked_labels(y: ArrayLike, inputs: int, classes: int) -> NDArray[np.integer]:
    labels = _array("y", y)
    if labels.shape != (inputs,):
        raise ValueError(f"y: shape {labels.shape} does not fit {inputs} inputs")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"y: classes must be integers from 0 to {classes - 1}, found {labels.dtype}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"y: classes must be integers from 0 to {classes - 1}, found {labels.min()} to {labels.max()}")
    return labels


def _checked_weights(sample_weight: ArrayLike | None, inputs: int) -> NDArray[np.floating]:
    if sample_weight is None:
        return np.ones(inputs)
    weights = _array("sample_weight", sample_weight, np.float64)
    if weights.shape != (inputs,):
        raise ValueError(f"sample_weight: shape {weights.shape} does not fit {inputs} inputs")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight: numbers from 0 are needed, and not all of them 0")
    return weights


def _checked_matrix(scoring: ArrayLike, classes: int) -> NDArray[np.floating]:
    matrix = _array("scoring", scoring, np.float64)
    if matrix.shape != (classes, classes) or not np.isfinite(matrix).all():
        raise ValueError(
            f"scoring: a matrix of shape {matrix.shape} does not fit; {(classes, classes)} finite numbers are needed"
        )
    return matrix


def checked_costs(
    costs: ArrayLike, branch_costs: ArrayLike | None, exits: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Costs (exits,) of leaving at each exit, and of each branch alone: zeros where they are not given."""
    exit_costs = _array("costs", costs, np.float64)
    if exit_costs.shape != (exits,):
        raise ValueError(f"costs: shape {exit_costs.shape} does not fit {exits} exits")
    if not np.isfinite(exit_costs).all() or (np.diff(exit_costs) <= 0).any() or exit_costs[0] <= 0:
        raise ValueError(f"costs: {exit_costs.tolist()} must be positive and strictly increasing")
    branches = np.zeros(exits) if branch_costs is None else _array("branch_costs", branch_costs, np.float64)
    if branches.shape != (exits,):
        raise ValueError(f"branch_costs: shape {branches.shape} does not fit {exits} exits")
    if not np.isfinite(branches).all() or (branches < 0).any():
        raise ValueError(f"branch_costs: {branches.tolist()} must be numbers from 0")
    added = np.diff(exit_costs, prepend=0.0)
    # costs may be sums of rounded numbers
    if (branches > added * (1 + 1e-9)).any():
        exit = int(np.argmax(branches - added))
        raise ValueError(
            f"branch_costs: {branches[exit]:g} of exit {exit} is more than the {added[exit]:g} that costs add there"
        )
    return exit_costs, branches
