"""The objectives of a search: metric names with directions."""

from __future__ import annotations

from collections.abc import Mapping

from nni_earlyexit.search.metrics import METRICS
from nni_earlyexit.utils.checks import unknown

DIRECTIONS = {name: metric.direction for name, metric in METRICS.items() if metric.direction is not None}
"""Every metric that can be an objective, with its usual direction."""

DEFAULT_OBJECTIVES: Mapping[str, str] = {"accuracy": "max", "avg_macs": "min"}


def check_objectives(objectives: Mapping[str, str]) -> dict[str, str]:
    """``objectives`` as a dictionary; ``ValueError`` for an unknown metric or direction, or fewer than one objective."""
    if not isinstance(objectives, Mapping) or not objectives:
        raise ValueError(f"objectives: {objectives!r} is not possible; an example is {dict(DEFAULT_OBJECTIVES)}")
    for name, direction in objectives.items():
        if name not in DIRECTIONS:
            raise unknown("objectives", name, list(DIRECTIONS))
        if direction not in ("max", "min"):
            raise ValueError(f"objectives: direction {direction!r} of {name} is unknown; 'max' or 'min' is possible")
    return dict(objectives)


def to_losses(metrics: Mapping[str, float], objectives: Mapping[str, str]) -> list[float]:
    """The objectives' values with signs such that smaller is better."""
    return [float(metrics[name]) * (-1 if direction == "max" else 1) for name, direction in objectives.items()]
