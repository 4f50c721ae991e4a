"""The goal of a search for each network: the point of its trade-off that is reported, and the worth of that point.

Plain data and arithmetic; no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from nni_earlyexit.thresholds import confidence as measures
from nni_earlyexit.thresholds.operating_point import TOLERANCE, OperatingPoint, PointGoal
from nni_earlyexit.utils.checks import Check, optional, share
from nni_earlyexit.utils.options import option

if TYPE_CHECKING:
    from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer

HALVING = 0.01
"""Accuracy that halving the average MACs is worth in the scalar ``default`` metric."""


@dataclass(frozen=True)
class Goal(PointGoal):
    """The point of a network's trade-off that a trial reports; at most one goal can be named.

    By default it is the one with the least average MACs within 0.005 of the best accuracy that the limits allow. A network that
    cannot meet the goal reports the point that comes closest.
    """

    confidence: str = option(
        "max_prob",
        "confidence measure of the exits",
        Check("the name of a confidence measure", lambda v: isinstance(v, str)),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("min_accuracy", "max_drop", "tolerance"):
            optional(share())(name, getattr(self, name))
        measures.check(self.confidence)

    def operating_point(self, max_cost: float | None = None) -> OperatingPoint:
        """The point that is reported, of those within an average cost of ``max_cost``."""
        point = {f.name: getattr(self, f.name) for f in fields(PointGoal)}
        return OperatingPoint(max_cost=max_cost, **(point if self.named() else {"tolerance": TOLERANCE}))

    def optimizer(self, max_cost: float | None = None) -> ThresholdOptimizer:
        """The optimizer that finds a network's front and this point of it."""
        from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer

        return ThresholdOptimizer(**vars(self.operating_point(max_cost)), confidence=self.confidence)


def score(accuracy: float, avg_macs: float) -> float:
    """The scalar ``default`` metric of a network within the limits, larger is better.

    ``accuracy - HALVING * log2(avg_macs / 1e6)``: halving the average MACs is worth one point of accuracy.
    """
    return accuracy - HALVING * math.log2(avg_macs / 1e6)


def penalty(excess: float) -> float:
    """The scalar ``default`` metric of a network over the limits: below that of every network within them."""
    return -1 - excess
