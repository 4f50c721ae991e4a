"""What is asked of a network: the limits it must keep and the point of its trade-off that a trial reports.

Plain data and arithmetic; no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

HALVING = 0.01
"""Accuracy that halving the average MACs is worth in the scalar ``default`` metric."""


@dataclass(frozen=True)
class Goal:
    """Limits, and which policy of a network's front is reported.

    Parameters
    ----------
    max_avg_macs
        Limit on average MACs. Before training, only a network whose first exit already costs more is known to miss it.
    max_full_macs
        Limit on the last exit's cost, known before training.
    min_accuracy, max_drop, weight
        Which point is reported, as in :class:`ThresholdOptimizer`; at most one. By default the one with the least
        average MACs within 0.005 of the best accuracy on the front.
    confidence
        Name of a measure in :mod:`nni_earlyexit.confidence`.
    """

    max_avg_macs: float | None = None
    max_full_macs: float | None = None
    min_accuracy: float | None = None
    max_drop: float | None = None
    weight: float | None = None
    confidence: str = "max_prob"

    def __post_init__(self) -> None:
        for name in ("max_avg_macs", "max_full_macs"):
            limit = getattr(self, name)
            if limit is not None and not (isinstance(limit, (int, float)) and 0 < limit < math.inf):
                raise ValueError(f"{name}: {limit!r} is not possible; a positive number of MACs is")
        given = [name for name in ("min_accuracy", "max_drop", "weight") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)}: only one of min_accuracy, max_drop and weight can be the goal")
        if not given:
            object.__setattr__(self, "max_drop", 0.005)

    def excess_macs(self, exit_costs: Sequence[int]) -> float:
        """MACs by which a network with these exit costs is known to miss the limits before training; 0 if it may meet them."""
        over_full = exit_costs[-1] - self.max_full_macs if self.max_full_macs is not None else 0
        over_avg = exit_costs[0] - self.max_avg_macs if self.max_avg_macs is not None else 0
        return max(0, over_full, over_avg)

    def optimizer_arguments(self) -> dict[str, Any]:
        """Arguments of the :class:`ThresholdOptimizer` that picks the reported point."""
        own = {"max_avg_macs", "max_full_macs"}
        rest = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in own}
        return {"max_cost": self.max_avg_macs, **rest}

    def score(self, accuracy: float, avg_macs: float) -> float:
        """The scalar ``default`` metric of a network within the limits, larger is better.

        ``accuracy - HALVING * log2(avg_macs / 1e6)``: halving the average MACs is worth one point of accuracy.
        """
        return accuracy - HALVING * math.log2(avg_macs / 1e6)

    def penalty(self, exit_costs: Sequence[int]) -> float:
        """The scalar ``default`` metric of a network over the limits: below that of every network within them."""
        return -1 - self.excess_macs(exit_costs) / exit_costs[-1]


def parse_macs(text: str) -> float:
    """``"2M"`` -> 2000000.0; k, M and G are thousand, million and billion."""
    units = {"k": 1e3, "m": 1e6, "g": 1e9}
    number, unit = (text[:-1], units[text[-1].lower()]) if text[-1:].lower() in units else (text, 1.0)
    try:
        return float(number) * unit
    except ValueError:
        raise ValueError(f"{text!r} is not a number of MACs; examples: 150000, 150k, 2M") from None


def format_macs(macs: float) -> str:
    """``2000000`` -> ``"2.00M"``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if macs >= size:
            return f"{macs / size:.3g}{unit}"
    return f"{macs:.0f}"
