"""The goal of a search for each network: the point of its trade-off that is reported, and the worth of that point.

Plain data and arithmetic; no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from nni_earlyexit.thresholds import confidence as measures
from nni_earlyexit.thresholds.common_cutoff import CUTOFFS, TUNED
from nni_earlyexit.thresholds.operating_point import TOLERANCE, OperatingPoint, PointGoal
from nni_earlyexit.utils.checks import Check, boolean, optional, share
from nni_earlyexit.utils.options import option

if TYPE_CHECKING:
    from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer

HALVING = 0.01
"""Accuracy that halving the average MACs is worth in the scalar ``default`` metric."""
FREE_MACS = 1e3
"""Average MACs that nobody would miss, from which on the scalar metric counts them."""
BORDER = 0.5
"""The scalar metric between the networks within the limits, which lie above, and those over them."""


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

    cutoffs: str | float = option(
        TUNED, "cutoffs of the exits: one for each, one for all that is searched, or one for all that is given", CUTOFFS
    )
    drop_exits: bool = option(
        True, "leave out exits that do not pay, where cutoffs are tuned; false keeps all of them", boolean()
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("min_accuracy", "max_drop", "tolerance"):
            optional(share())(name, getattr(self, name))
        measures.check(self.confidence)

    def at(self, **point: Any) -> Goal:
        """Another point of networks whose exits are used in the same way."""
        return Goal(**point, confidence=self.confidence, cutoffs=self.cutoffs, drop_exits=self.drop_exits)

    def operating_point(self, max_cost: float | None = None) -> OperatingPoint:
        """The point that is reported, of those within an average cost of ``max_cost``."""
        point = {f.name: getattr(self, f.name) for f in fields(PointGoal)}
        return OperatingPoint(max_cost=max_cost, **(point if self.named() else {"tolerance": TOLERANCE}))

    def optimizer(self, max_cost: float | None = None) -> ThresholdOptimizer:
        """The optimizer that finds a network's front and this point of it."""
        from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer

        return ThresholdOptimizer(
            **vars(self.operating_point(max_cost)),
            confidence=self.confidence,
            cutoffs=self.cutoffs,
            drop_exits=self.drop_exits,
        )


def score(accuracy: float, avg_macs: float) -> float:
    """The scalar ``default`` metric of a network within the limits, larger is better, always above ``BORDER``.

    It is 1 over what the network lacks, its errors and its cost: ``1 - accuracy + HALVING * log2(1 + avg_macs / FREE_MACS)``,
    so that halving the average MACs is worth one point of accuracy. NNI's chart, which draws this number, has one linear scale
    from the worst trial to the best: there, the networks worth comparing would be one line, as their accuracies differ little.
    """
    lacks = 1 - accuracy + HALVING * math.log2(1 + avg_macs / FREE_MACS)
    # less than 2 for every network of fewer than 1e33 MACs, one that is never right included
    return max(1 / lacks, math.nextafter(BORDER, 1))


def penalty(excess: float) -> float:
    """The scalar ``default`` metric of a network over the limits, larger is better: from 0 to ``BORDER``, whatever it costs.

    ``excess`` is the sum of the shares by which it exceeds them; a network just over them comes close to ``BORDER``.
    """
    return BORDER / (1 + excess)
