"""One cutoff for all exits, as BranchyNet has it (arXiv 1709.01686): the simple way that tuned cutoffs are compared with."""

from __future__ import annotations

import numpy as np
from nni_earlyexit.thresholds.cutoff_problem import MAX_LEVELS, Array, cheapest_first
from nni_earlyexit.thresholds.policy import first_sure_exit
from nni_earlyexit.thresholds.policy_front import Front
from nni_earlyexit.utils.checks import Check, is_number

TUNED, SHARED = "tuned", "shared"

CUTOFFS = Check(
    f"{TUNED}, {SHARED} or a number",
    lambda value: value in (TUNED, SHARED) if isinstance(value, str) else is_number(value) and abs(value) < np.inf,
    parse=lambda text: text if text in (TUNED, SHARED) else float(text),
)
"""Ways to cutoffs: one for each exit, searched; one for all exits, searched; one for all exits, given."""


def common_cutoffs(
    confidences: Array, scores: Array, weights: Array, costs: Array, cutoff: float | None = None
) -> Front:
    """Every non-dominated policy whose exits, none of which is dropped, share one cutoff.

    Parameters
    ----------
    confidences
        (inputs, exits - 1).
    scores
        (inputs, exits): worth of an input when it leaves there.
    weights
        (inputs,).
    costs
        (exits,): cost of leaving there.
    cutoff
        The only possible cutoff; ``None`` tries those that differ, at most ``MAX_LEVELS`` of them.
    """
    kept = tuple(range(len(costs)))
    inputs = np.arange(len(weights))
    values = _values(confidences) if cutoff is None else np.array([cutoff])
    rows = np.column_stack([np.repeat(values[:, None], len(costs) - 1, axis=1), np.full(len(values), -np.inf)])
    shares, score = np.empty(rows.shape), np.empty(len(rows))
    for i, row in enumerate(rows):
        leaving = first_sure_exit(confidences, row, kept)
        shares[i] = np.bincount(leaving, weights=weights, minlength=len(costs)) / weights.sum()
        score[i] = scores[inputs, leaving] @ weights / weights.sum()
    cost = shares @ costs
    best = cheapest_first(cost, score)
    return Front(score[best], cost[best], rows[best], shares[best])


def _values(confidences: Array) -> Array:
    """Every confidence that is there, at most ``MAX_LEVELS`` so that about equally many lie between them, and one above all."""
    values = np.unique(confidences)
    if len(values) > MAX_LEVELS:
        values = np.unique(np.quantile(confidences, np.linspace(0, 1, MAX_LEVELS), method="lower"))
    return np.append(values, values[-1] + 1) if len(values) else np.zeros(1)
