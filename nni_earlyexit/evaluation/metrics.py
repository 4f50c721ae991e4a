"""What a trial reports: one flat dictionary with the same keys for every network of a space.

Numbers only (besides ``sample`` and ``front``), because NNI's web UI offers as metrics what is a number in the first
trial. An infinite cutoff, and the cutoff of an absent exit, are ``None``. ``front`` holds the metrics that differ along the
network's whole trade-off, a list for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.goal import Goal
from nni_earlyexit.thresholds.diagnostics import Diagnostic, diagnose
from nni_earlyexit.thresholds.operating_point import Unreachable
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.thresholds.policy_front import Front, TradeOff
from nni_earlyexit.utils.files import finite_or_none
from numpy.typing import NDArray

FRONT = "front"
"""Key of the metrics along the trade-off."""
FRONT_POINTS = 32
"""Most points of its trade-off that a trial reports."""


@dataclass(frozen=True)
class Network:
    """What is known of a network before training: everything that its metrics need beside its outputs."""

    sample: Mapping[str, Any]
    exit_stages: Sequence[int]
    num_stages: int
    costs: ExitCosts


class FittedCutoffs(NamedTuple):
    """The point of a network's trade-off that a goal picks, its policy, and all points within the limits."""

    chosen: TradeOff
    policy: ExitPolicy
    within: Front


def fit_cutoffs(goal: Goal, logits: NDArray[np.floating], y: NDArray[np.integer], costs: ExitCosts) -> FittedCutoffs:
    """The point that ``goal`` wants of the front on these outputs, within all its limits, and its policy.

    Where none meets the goal, it is the one that comes closest.
    """
    optimizer = goal.optimizer()
    point = optimizer.fit_closest(logits, y, costs.macs, branch_costs=costs.branch_macs).chosen_
    within = optimizer.front_
    if goal.max_latency_s is not None and costs.latency_s is not None:
        within = within[within.shares @ costs.latency_s <= goal.max_latency_s]
        if len(within):
            try:
                point = goal.operating_point.pick(within, optimizer.single_exit_accuracies_[-1], costs.macs[-1])
            except Unreachable as error:
                point = within[0] if error.closest is None else error.closest
        else:
            point = optimizer.front_[0]
    if goal.max_avg_macs is not None:
        within = within[within.avg_cost <= goal.max_avg_macs * (1 + 1e-12)]
    return FittedCutoffs(point, optimizer.policy_of(point), within)


def measured(
    network: Network, goal: Goal, logits: NDArray[np.floating], y: NDArray[np.integer], epochs: int
) -> tuple[dict[str, Any], ExitPolicy]:
    """Metrics and policy of a network after ``epochs``, from its outputs (inputs, exits, classes) on validation data."""
    chosen, policy, within = fit_cutoffs(goal, logits, y, network.costs)
    accuracies = (logits.argmax(axis=-1) == y[:, None]).mean(axis=0)
    metrics = {
        "default": goal.score(chosen.accuracy, chosen.avg_cost),
        "accuracy": chosen.accuracy,
        "avg_macs": chosen.avg_cost,
        "feasible": 1,
        "excess": 0,
        "epochs": epochs,
        **_known(network, chosen.shares),
        **_per_exit(network, accuracies.tolist(), chosen),
        FRONT: _front(network, within.thinned(FRONT_POINTS)),
    }
    return metrics, policy


def diagnosed(
    metrics: dict[str, Any],
    goal: Goal,
    costs: ExitCosts,
    policy: ExitPolicy,
    logits: NDArray[np.floating],
    y: NDArray[np.integer],
) -> list[Diagnostic]:
    """Add to ``metrics`` what they promise too much, ``optimism``, and the number of ``concerns``; what they are."""
    found = diagnose(goal.optimizer(), logits, y, costs.macs, policy=policy, branch_costs=costs.branch_macs)
    metrics["optimism"] = found[0].numbers["accuracy"]
    metrics["concerns"] = sum(diagnostic.concern for diagnostic in found)
    return found


def infeasible(network: Network, goal: Goal) -> dict[str, Any]:
    """Metrics of a network that is known to miss a limit and was not trained."""
    all_stay = [0.0] * (len(network.costs.macs) - 1) + [1.0]
    return {
        "default": goal.penalty(network.costs),
        "accuracy": 0.0,
        "avg_macs": float(network.costs.macs[-1]),
        "feasible": 0,
        "excess": goal.excess(network.costs),
        "epochs": 0,
        **_known(network, all_stay),
        **_per_exit(network, None, None),
        FRONT: {},
        "optimism": 0.0,
        "concerns": 0,
    }


def _known(network: Network, shares: Sequence[float]) -> dict[str, Any]:
    costs = network.costs
    known: dict[str, Any] = {"full_macs": costs.macs[-1]}
    if costs.params is not None:
        known["params"] = costs.params[-1]
    if costs.activation_bytes is not None:
        known["activation_bytes"] = costs.activation_bytes[-1]
    if costs.latency_s is not None:
        known["latency_s"] = _latency(network, shares)
        known["full_latency_s"] = float(costs.latency_s[-1])
    return {**known, "sample": dict(network.sample)}


def _front(network: Network, front: Front) -> dict[str, list[float]]:
    """The metrics that differ along a network's trade-off, one list each."""
    columns = {"accuracy": front.accuracy, "avg_macs": front.avg_cost}
    if network.costs.latency_s is not None:
        columns["latency_s"] = front.shares @ network.costs.latency_s
    return {name: column.tolist() for name, column in columns.items()}


def _latency(network: Network, shares: Sequence[float]) -> float:
    """Average seconds of an input when these ``shares`` leave at each exit."""
    assert network.costs.latency_s is not None
    return float(np.dot(shares, network.costs.latency_s))


def _per_exit(network: Network, accuracies: Sequence[float] | None, chosen: TradeOff | None) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for stage in range(network.num_stages):
        # an absent exit, or one that was never trained: nothing leaves there
        accuracy, share, cutoff = 0.0, 0.0, None
        if accuracies is not None and chosen is not None and stage in network.exit_stages:
            exit = list(network.exit_stages).index(stage)
            accuracy, share, (cutoff,) = accuracies[exit], chosen.shares[exit], finite_or_none([chosen.cutoffs[exit]])
        metrics |= {f"exit{stage}_accuracy": accuracy, f"exit{stage}_share": share, f"exit{stage}_cutoff": cutoff}
    return metrics
