"""What is asked of a network: the limits it must keep and the point of its trade-off that a trial reports.

Plain data and arithmetic; no torch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.thresholds.operating_point import TOLERANCE, OperatingPoint

if TYPE_CHECKING:
    from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer


class Limit(NamedTuple):
    """What a limit is about: a field of :class:`ExitCosts`, and the exit at which it is known before training.

    An average is known to miss its limit only when even the first exit does.
    """

    cost: str
    exit: int
    unit: str


LIMITS = {
    "max_avg_macs": Limit("macs", 0, "MACs"),
    "max_full_macs": Limit("macs", -1, "MACs"),
    "max_params": Limit("params", -1, "parameters"),
    "max_activation_bytes": Limit("activation_bytes", -1, "bytes"),
    "max_latency_s": Limit("latency_s", 0, "seconds"),
}
"""Every limit that a network can be given."""


HALVING = 0.01
"""Accuracy that halving the average MACs is worth in the scalar ``default`` metric."""


@dataclass(frozen=True)
class Goal:
    """Limits, and which policy of a network's front is reported.

    Parameters
    ----------
    max_avg_macs
        Limit on average MACs. Before training, only a network whose first exit already costs more is known to miss it.
    max_full_macs, max_params, max_activation_bytes
        Limits on the whole network, known before training: MACs of the last exit, parameters, and bytes of activations
        that are alive at once (see :class:`ExitCosts`).
    max_latency_s
        Limit on the average seconds of an input, as a latency table predicts them.
    min_accuracy, max_drop, tolerance, weight, knee
        Which point is reported, as in :class:`ThresholdOptimizer`; at most one. By default the one with the least
        average MACs within 0.005 of the best accuracy that the limits allow. A network that cannot meet it reports the
        point that comes closest.
    confidence
        Name of a measure in :mod:`nni_earlyexit.thresholds.confidence`.
    """

    max_avg_macs: float | None = None
    max_full_macs: float | None = None
    max_params: float | None = None
    max_activation_bytes: float | None = None
    max_latency_s: float | None = None
    min_accuracy: float | None = None
    max_drop: float | None = None
    tolerance: float | None = None
    weight: float | None = None
    knee: bool = False
    confidence: str = "max_prob"

    def __post_init__(self) -> None:
        for name, limit in self.limits().items():
            # true and false are numbers to Python
            if isinstance(limit, bool) or not (isinstance(limit, (int, float)) and 0 < limit < math.inf):
                raise ValueError(f"{name}: {limit!r} is not possible; a positive number of {LIMITS[name].unit} is")
        for name in ("min_accuracy", "max_drop", "tolerance"):
            share = getattr(self, name)
            if isinstance(share, bool) or not (share is None or (isinstance(share, (int, float)) and 0 <= share <= 1)):
                raise ValueError(f"{name}: {share!r} is not possible; a share from 0 to 1 is")
        wanted = self.operating_point
        if wanted == OperatingPoint(max_cost=wanted.max_cost):
            object.__setattr__(self, "tolerance", TOLERANCE)

    @property
    def operating_point(self) -> OperatingPoint:
        """Which point of a network's front is reported, its cost being MACs."""
        point = {field.name: getattr(self, field.name) for field in fields(OperatingPoint) if field.name != "max_cost"}
        return OperatingPoint(max_cost=self.max_avg_macs, **point)

    def optimizer(self) -> ThresholdOptimizer:
        """The optimizer that finds a network's front and this point of it."""
        from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer

        return ThresholdOptimizer(**asdict(self.operating_point), confidence=self.confidence)

    def limits(self) -> dict[str, float]:
        """The limits that are set."""
        return {name: limit for name in LIMITS if (limit := getattr(self, name)) is not None}

    def excess(self, costs: ExitCosts) -> float:
        """By how much a network is known to miss the limits before training; 0 if it may meet them.

        It is the sum, over the limits, of the share by which each is exceeded.
        """
        over = 0.0
        for name, limit in self.limits().items():
            known = getattr(costs, LIMITS[name].cost)
            if known is None:
                raise ValueError(f"{name}: {LIMITS[name].cost} is not known; a latency table is needed")
            over += max(0.0, known[LIMITS[name].exit] / limit - 1)
        return over

    def score(self, accuracy: float, avg_macs: float) -> float:
        """The scalar ``default`` metric of a network within the limits, larger is better.

        ``accuracy - HALVING * log2(avg_macs / 1e6)``: halving the average MACs is worth one point of accuracy.
        """
        return accuracy - HALVING * math.log2(avg_macs / 1e6)

    def penalty(self, costs: ExitCosts) -> float:
        """The scalar ``default`` metric of a network over the limits: below that of every network within them."""
        return -1 - self.excess(costs)
