"""What a trial reports: one flat dictionary with the same keys for every network of a space.

Numbers only (besides the sample), because NNI's web UI offers as metrics what is a number in the first trial. An infinite
cutoff, and the cutoff of an absent exit, are ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nni_earlyexit.goal import Goal
from nni_earlyexit.policy import ExitPolicy, finite_or_none
from nni_earlyexit.thresholds import ThresholdOptimizer, TradeOff
from numpy.typing import NDArray


@dataclass(frozen=True)
class Network:
    """What is known of a network before training: everything that its metrics need beside its outputs."""

    sample: Mapping[str, Any]
    exit_stages: Sequence[int]
    num_stages: int
    exit_costs: Sequence[int]
    params: int


def measured(
    network: Network, goal: Goal, logits: NDArray[np.floating], y: NDArray[np.integer]
) -> tuple[dict[str, Any], ExitPolicy]:
    """Metrics and policy of a trained network from its outputs (inputs, exits, classes) on validation data."""
    optimizer = ThresholdOptimizer(**goal.optimizer_arguments()).fit(logits, y, network.exit_costs)
    chosen = optimizer.chosen_
    accuracies = (logits.argmax(axis=-1) == y[:, None]).mean(axis=0)
    metrics = {
        "default": goal.score(chosen.accuracy, chosen.avg_cost),
        "accuracy": chosen.accuracy,
        "avg_macs": chosen.avg_cost,
        "feasible": 1,
        "excess_macs": 0,
        **_known(network),
        **_per_exit(network, accuracies.tolist(), chosen),
    }
    return metrics, optimizer.policy_


def infeasible(network: Network, goal: Goal) -> dict[str, Any]:
    """Metrics of a network that is known to miss a limit and was not trained."""
    return {
        "default": goal.penalty(network.exit_costs),
        "accuracy": 0.0,
        "avg_macs": float(network.exit_costs[-1]),
        "feasible": 0,
        "excess_macs": goal.excess_macs(network.exit_costs),
        **_known(network),
        **_per_exit(network, None, None),
    }


def _known(network: Network) -> dict[str, Any]:
    return {"full_macs": network.exit_costs[-1], "params": network.params, "sample": dict(network.sample)}


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
