"""The metrics of one network, by the schema of :mod:`nni_earlyexit.search.metrics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.search import goal as goals
from nni_earlyexit.search.costs import ExitCosts, ExitSeconds
from nni_earlyexit.search.limits import ROUNDING, Limits
from nni_earlyexit.search.metrics import FRONT, SAMPLE, exit_metric
from nni_earlyexit.thresholds.common_cutoff import TUNED
from nni_earlyexit.thresholds.diagnostics import Diagnostic, diagnose
from nni_earlyexit.thresholds.guarantee import Guarantee
from nni_earlyexit.thresholds.operating_point import Unreachable
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.thresholds.policy_front import Front, TradeOff, mean_cost
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.files import finite_or_none
from numpy.typing import NDArray

FRONT_POINTS = 32
"""Most points of its trade-off that a trial reports."""


@dataclass(frozen=True)
class NetworkFacts:
    """A network before training: everything that its metrics need beside its outputs."""

    sample: Mapping[str, Any]
    exit_stages: Sequence[int]
    num_stages: int
    costs: ExitCosts


class FittedCutoffs(NamedTuple):
    """The point of a network's trade-off that a goal picks, its policy, and all points within the limits."""

    chosen: TradeOff
    policy: ExitPolicy
    within: Front


class Measured(NamedTuple):
    """Metrics, policy and validation outputs (inputs, exits, classes) of a network after an epoch."""

    metrics: dict[str, Any]
    policy: ExitPolicy
    logits: NDArray[np.float32]


def facts(network: EarlyExitNetwork, latency: ExitSeconds | None = None) -> NetworkFacts:
    """The facts of ``network``, with its predicted seconds if they are known."""
    return NetworkFacts(
        sample=network.sample or {},
        exit_stages=network.exit_stages,
        num_stages=len(network.stages),
        costs=ExitCosts(
            macs=network.exit_costs,
            branch_macs=network.branch_costs,
            params=network.exit_params,
            activation_bytes=network.exit_activation_bytes,
            latency_s=None if latency is None else latency.until,
            branch_latency_s=None if latency is None else latency.branches,
        ),
    )


def guaranteeing(goal: goals.Goal) -> goals.Goal:
    """The ``goal`` where a guarantee is asked for, which is of tuned cutoffs and exits that may be dropped."""
    return replace(goal, cutoffs=TUNED, drop_exits=True)


def fit_cutoffs(
    settings: Settings,
    logits: NDArray[np.floating],
    y: NDArray[np.integer],
    costs: ExitCosts,
    guarantee: Guarantee | None = None,
) -> FittedCutoffs:
    """The point that the goal wants of the front on these outputs, within all limits, and its policy.

    Where none meets the goal, it is the one that comes closest. With a guarantee, only policies that keep it are on the front,
    whose cutoffs are tuned and whose exits may be dropped, whatever the goal says of that.
    """
    limits = settings.limits
    goal = settings.goal if guarantee is None else guaranteeing(settings.goal)
    optimizer = goal.optimizer(limits.max_avg_macs).set_params(guarantee=guarantee)
    optimizer.fit_closest(logits, y, costs.macs, branch_costs=costs.branch_macs)
    point, within = optimizer.chosen_, optimizer.front_
    if limits.max_latency_s is not None and costs.latency_s is not None:
        within = within[within.mean_costs(costs.latency_s, costs.branch_latency_s or 0) <= limits.max_latency_s]
        if len(within):
            last_accuracy = float(optimizer.single_exit_accuracies_[-1])
            try:
                point = settings.operating_point.pick(within, last_accuracy, costs.macs[-1])
            except Unreachable as error:
                point = within[0] if error.closest is None else error.closest
        else:
            point = optimizer.front_[0]
    if limits.max_avg_macs is not None:
        within = within[within.avg_cost <= limits.max_avg_macs * (1 + ROUNDING)]
    return FittedCutoffs(point, optimizer.policy_of(point), within)


def measured(
    network: NetworkFacts, settings: Settings, logits: NDArray[np.float32], y: NDArray[np.integer], epochs: int
) -> Measured:
    """Metrics and policy of a network after ``epochs``, from its outputs (inputs, exits, classes) on validation data."""
    chosen, policy, within = fit_cutoffs(settings, logits, y, network.costs)
    accuracies = (logits.argmax(axis=-1) == y[:, None]).mean(axis=0)
    metrics = {
        "default": goals.score(chosen.accuracy, chosen.avg_cost),
        "accuracy": chosen.accuracy,
        "avg_macs": chosen.avg_cost,
        "feasible": 1,
        "excess": 0,
        "epochs": epochs,
        **_untrained(network, chosen.shares, chosen.cutoffs),
        **_per_exit(network, accuracies.tolist(), chosen),
        FRONT: _front(network, within.thinned(FRONT_POINTS)),
    }
    return Measured(metrics, policy, logits)


def within_limits(metrics: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """The ``metrics`` of a trained network, infeasible if its averages exceed the limits on them.

    So they may where a cutoff is given for all exits, for then there is no other point. It is said at the end only: as long as
    the network learns, more and more inputs are sure.
    """
    excess = limits.excess_of_averages(metrics["avg_macs"], metrics.get("latency_s"))
    return {**metrics, "default": goals.penalty(excess), "feasible": 0, "excess": excess} if excess else dict(metrics)


def diagnosed(settings: Settings, costs: ExitCosts, network: Measured, y: NDArray[np.integer]) -> list[Diagnostic]:
    """Reasons not to trust the cutoffs of a network, from its outputs on validation data."""
    optimizer = settings.goal.optimizer(settings.limits.max_avg_macs)
    return diagnose(optimizer, network.logits, y, costs.macs, policy=network.policy, branch_costs=costs.branch_macs)


def diagnosis(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """The metrics that say how much the others promise too much, and the number of concerns."""
    return {
        "optimism": diagnostics[0].numbers["accuracy"],
        "concerns": sum(diagnostic.concern for diagnostic in diagnostics),
    }


def infeasible(network: NetworkFacts, limits: Limits) -> dict[str, Any]:
    """Metrics of a network that is known to miss a limit and was not trained."""
    all_stay = [0.0] * (len(network.costs.macs) - 1) + [1.0]
    excess = limits.excess(network.costs)
    return {
        "default": goals.penalty(excess),
        "accuracy": 0.0,
        "avg_macs": float(network.costs.macs[-1]),
        "feasible": 0,
        "excess": excess,
        "epochs": 0,
        **_untrained(network, all_stay, [0.0] * len(all_stay)),
        **_per_exit(network, None, None),
        FRONT: {},
        "optimism": 0.0,
        "concerns": 0,
    }


def _untrained(network: NetworkFacts, shares: Sequence[float], cutoffs: Sequence[float]) -> dict[str, Any]:
    """Metrics of a network that need no training, given the share of inputs that leaves at each exit, and its cutoff."""
    costs = network.costs
    values: dict[str, Any] = {"full_macs": costs.macs[-1]}
    if costs.params is not None:
        values["params"] = costs.params[-1]
    if costs.activation_bytes is not None:
        values["activation_bytes"] = costs.activation_bytes[-1]
    if costs.latency_s is not None:
        values["latency_s"] = float(mean_cost(cutoffs, shares, costs.latency_s, costs.branch_latency_s or 0))
        values["full_latency_s"] = float(costs.latency_s[-1])
    return {**values, SAMPLE: dict(network.sample)}


def _front(network: NetworkFacts, front: Front) -> dict[str, list[float]]:
    """The metrics that differ along a network's trade-off, one list each."""
    columns = {"accuracy": front.accuracy, "avg_macs": front.avg_cost}
    costs = network.costs
    if costs.latency_s is not None:
        columns["latency_s"] = front.mean_costs(costs.latency_s, costs.branch_latency_s or 0)
    return {name: column.tolist() for name, column in columns.items()}


def _per_exit(network: NetworkFacts, accuracies: Sequence[float] | None, chosen: TradeOff | None) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for stage in range(network.num_stages):
        # an absent exit, or one that was never trained: nothing leaves there
        accuracy, share, cutoff = 0.0, 0.0, None
        if accuracies is not None and chosen is not None and stage in network.exit_stages:
            exit = list(network.exit_stages).index(stage)
            accuracy, share = accuracies[exit], chosen.shares[exit]
            (cutoff,) = finite_or_none([chosen.cutoffs[exit]])
        for name, value in (("accuracy", accuracy), ("share", share), ("cutoff", cutoff)):
            metrics[exit_metric(stage, name)] = value
    return metrics
