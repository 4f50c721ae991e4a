"""The operating point: the goal that picks one policy of a front."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from nni_earlyexit.thresholds.policy_front import Front, TradeOff
from nni_earlyexit.utils.amounts import format_amount, parse_share
from nni_earlyexit.utils.checks import boolean, number, optional, positive
from nni_earlyexit.utils.options import check_options, option
from numpy.typing import NDArray

TOLERANCE = 0.005
"""Accuracy below the best that is given up for lower cost when no goal is named."""


class Unreachable(ValueError):
    """No policy meets the goal. ``closest`` is the one that comes closest, if there is any within the budget."""

    def __init__(self, sentence: str, closest: TradeOff | None) -> None:
        super().__init__(sentence)
        self.closest = closest


@dataclass(frozen=True)
class PointGoal:
    """The policy of a front that is wanted; at most one goal. ``ValueError`` for what cannot be one."""

    min_accuracy: float | None = option(
        None, "the cheapest policy with this accuracy, such as 85%", optional(replace(number(), parse=parse_share))
    )
    max_drop: float | None = option(
        None,
        "the cheapest policy whose accuracy is at most this much below that of the last exit for everything, such as 1%",
        optional(replace(number(0), parse=parse_share)),
    )
    tolerance: float | None = option(
        None,
        "the cheapest policy whose accuracy is at most this much below the best; 0.005 when no goal is named",
        optional(replace(number(0), parse=parse_share)),
    )
    weight: float | None = option(
        None, "the policy with the largest accuracy - weight * share of the full cost", optional(number(0))
    )
    knee: bool = option(False, "the policy where the trade-off bends most", boolean())

    def __post_init__(self) -> None:
        check_options(self)
        if len(self.named()) > 1:
            raise ValueError(f"{' and '.join(self.named())}: only one of them can be the goal")

    def named(self) -> list[str]:
        """The goals that are given."""
        values = {f.name: getattr(self, f.name) for f in fields(PointGoal)}
        return [name for name, value in values.items() if value is not None and value is not False]  # 0 is one


@dataclass(frozen=True)
class OperatingPoint(PointGoal):
    """A goal, within a limit on the average cost; :class:`ThresholdOptimizer` documents both."""

    max_cost: float | None = option(None, "limit on the average cost of an input", optional(positive()))

    def pick(self, front: Front, last_accuracy: float, full_cost: float) -> TradeOff:
        """The policy of ``front`` that is wanted; :class:`Unreachable` if there is none.

        ``last_accuracy`` is that of the last exit for everything, ``full_cost`` the cost of the last exit.
        """
        affordable = len(front)
        if self.max_cost is not None:
            # costs are quotients, so are accuracies: tolerate their rounding
            affordable = int(np.searchsorted(front.avg_cost, self.max_cost * (1 + 1e-12), side="right"))
        if affordable == 0:
            cheapest = f"; the cheapest policy costs {format_amount(front.avg_cost[0])}" if len(front) else ""
            raise Unreachable(f"max_cost: {format_amount(self.max_cost or 0)} cannot be met{cheapest}", None)
        accuracy, cost = front.accuracy[:affordable], front.avg_cost[:affordable]
        if self.weight is not None:
            return front[int(np.argmax(accuracy - self.weight * cost / full_cost))]
        if self.knee:
            return front[_knee(accuracy, cost)]
        wanted, name = self._least_accuracy(last_accuracy, float(accuracy[-1]))
        position = int(np.searchsorted(accuracy, wanted - 1e-9))
        if position < affordable:
            return front[position]
        asked = f"{name}: {getattr(self, name)}"
        beyond = int(np.searchsorted(front.accuracy, wanted - 1e-9))
        if beyond < len(front):
            needed, within = format_amount(front.avg_cost[beyond]), format_amount(self.max_cost or 0)
            raise Unreachable(f"{asked} cannot be met within max_cost {within}; it costs {needed}", front[position - 1])
        reached = f"the most accurate policy reaches {front.accuracy[-1]:.4f}"
        if name == "max_drop":
            reached += f", the last exit {last_accuracy:.4f}"
        raise Unreachable(f"{asked} cannot be met; {reached}", front[position - 1])

    def _least_accuracy(self, last: float, best: float) -> tuple[float, str]:
        """The accuracy that is needed, and the parameter that says so."""
        if self.min_accuracy is not None:
            return self.min_accuracy, "min_accuracy"
        if self.max_drop is not None:
            return last - self.max_drop, "max_drop"
        if self.tolerance is not None:
            return best - self.tolerance, "tolerance"
        return best - (TOLERANCE if self.max_cost is None else 0), "tolerance"


def _knee(accuracy: NDArray[np.floating], cost: NDArray[np.floating]) -> int:
    """The point farthest above the line between the ends of the front (Satopaa et al. 2011, Kneedle)."""
    across, up = cost[-1] - cost[0], accuracy[-1] - accuracy[0]
    if across <= 0 or up <= 0:
        return 0
    return int(np.argmax((accuracy - accuracy[0]) / up - (cost - cost[0]) / across))
