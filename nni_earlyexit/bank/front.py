"""The best networks of a bank: the front over all combinations of its branches, on validation data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.bank.combinations import ABSENT, Combination, Combinations, Option
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.search.goal import Goal
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.space import latency_table
from nni_earlyexit.thresholds.confidence import MEASURES, of_kept_exits
from nni_earlyexit.thresholds.operating_point import Unreachable
from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer
from nni_earlyexit.thresholds.policy_front import Front, TradeOff
from nni_earlyexit.utils.non_dominance import non_dominated

_NONE = "bank: none of its networks keeps the limits and the rules of the space; more branches may help"
MAX_SEARCHED = 256
"""Combinations up to which the cutoffs of every one are searched completely."""


@dataclass(frozen=True)
class BankFront:
    """Every non-dominated network and policy of a bank on validation data, cheapest first.

    Attributes
    ----------
    points
        Their accuracy and average MACs.
    networks
        The branches of each point's network.
    searched, valued, possible
        Networks whose cutoffs were searched completely, those that were valued to choose them, and all that are possible.
    last_accuracy, full_macs
        Accuracy and MACs of the backbone alone.
    """

    points: Sequence[TradeOff]
    networks: Sequence[tuple[StoredBranch, ...]]
    searched: int
    valued: int
    possible: int
    last_accuracy: float
    full_macs: float

    def best_of_each(self, bank: Bank) -> list[dict[str, Any]]:
        """Each network with its most accurate point on the front."""
        best = {network: point for point, network in zip(self.points, self._names(), strict=True)}
        members = dict(zip(self._names(), self.networks, strict=True))
        return [
            {
                "sample": bank.branches.sample([stored.branch for stored in members[name]]),
                "accuracy": point.accuracy,
                "avg_macs": point.avg_cost,
            }
            for name, point in best.items()
        ]

    def _names(self) -> list[tuple[str, ...]]:
        return [tuple(stored.branch.name for stored in network) for network in self.networks]

    def pick(self, goal: Goal, max_avg_macs: float | None = None) -> int:
        """Position of the point that ``goal`` wants; where none meets it, of the one that comes closest."""
        accuracy, cost = (
            np.array([getattr(point, name) for point in self.points]) for name in ("accuracy", "avg_cost")
        )
        nothing = np.zeros(
            (len(self.points), 0)
        )  # cutoffs and shares of networks with other exits have no columns in common
        front = Front(accuracy, cost, nothing, nothing)
        try:
            chosen = goal.operating_point(max_avg_macs).pick(front, self.last_accuracy, self.full_macs)
        except Unreachable as error:
            chosen = front[0] if error.closest is None else error.closest
        return int(np.flatnonzero((accuracy == chosen.accuracy) & (cost == chosen.avg_cost))[0])


def bank_front(bank: Bank, branches: Sequence[StoredBranch], goal: Goal, limits: Limits | None = None) -> BankFront:
    """The front over the combinations of trained ``branches``, at most one after each stage, that may be within ``limits``.

    All of a few are searched; of many, those that are best at some price along the front
    (:mod:`nni_earlyexit.bank.combinations`), with cutoffs tuned for each exit, whatever the goal's are. ``ValueError`` where
    rules and limits leave none.
    """
    limits = limits or Limits()
    latencies = latency_table.latencies(limits.latency_table, bank.space)
    labels = bank.data.validation.y.numpy()
    stages = bank.branches.stages
    own = [[stored for stored in branches if stored.branch.stage == stage] for stage in stages]
    last = bank.backbone_logits["validation"]

    # a measure that looks at several exits has no value for one of them; then combinations are valued by a simple one
    measure = goal.confidence if goal.confidence in MEASURES else "max_prob"

    def option(stored: StoredBranch) -> Option:
        score = (stored.validation.argmax(axis=-1) == labels).astype(float)
        return Option(of_kept_exits(measure, stored.validation[:, None])[:, 0], score, stored.macs)

    def members(combination: Combination) -> tuple[StoredBranch, ...]:
        return tuple(own[place][position] for place, position in enumerate(combination) if position != ABSENT)

    def allowed(combination: Combination) -> bool:
        own_branches = [stored.branch for stored in members(combination)]
        if bank.branches.violation(own_branches) is not None:
            return False
        if not limits.given():
            return True
        sample = bank.branches.sample(own_branches)
        seconds = None if latencies is None else latencies(sample)
        return limits.excess(replace(bank.space.all_costs(sample), latency_s=seconds)) <= 0

    combinations = Combinations(
        [[option(stored) for stored in stage] for stage in own],
        (last.argmax(axis=-1) == labels).astype(float),
        [*(bank.backbone_macs[stage] for stage in stages), bank.backbone_macs[-1]],
        allowed,
    )
    chosen = combinations.every() if len(combinations) <= MAX_SEARCHED else combinations.best()
    if not chosen:
        raise ValueError(_NONE)
    points: list[TradeOff] = []
    networks: list[tuple[StoredBranch, ...]] = []
    for combination in chosen:
        network = members(combination)
        costs, branch_costs = bank.costs(network)
        optimizer: ThresholdOptimizer = goal.optimizer(limits.max_avg_macs)
        optimizer.fit_closest(bank.logits(network), labels, costs, branch_costs=branch_costs)
        own_points = list(optimizer.front_)
        if latencies is not None and limits.max_latency_s is not None:
            seconds = latencies.seconds(bank.branches.sample([stored.branch for stored in network]))
            own_points = list(optimizer.front_[optimizer.front_.mean_costs(*seconds) <= limits.max_latency_s])
        points += own_points
        networks += [network] * len(own_points)
    if not points:
        raise ValueError(_NONE)
    kept = non_dominated(np.array([[point.avg_cost, -point.accuracy] for point in points]))
    return BankFront(
        [points[i] for i in kept],
        [networks[i] for i in kept],
        searched=len(chosen),
        valued=combinations.valued,
        possible=len(combinations),
        last_accuracy=float((last.argmax(axis=-1) == labels).mean()),
        full_macs=bank.backbone_macs[-1],
    )
