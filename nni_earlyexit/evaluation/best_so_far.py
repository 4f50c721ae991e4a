"""The best networks of a search so far, and the hypervolume that their trade-offs reach."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nni_earlyexit.search.archive import Archive
from nni_earlyexit.search.metrics import FRONT

DECADES = 2
"""Powers of ten of average MACs, below the dearest network, that the hypervolume looks at."""


class BestSoFar(NamedTuple):
    """The trials that no other one beats, cheapest first, by their names, and the hypervolume (a share)."""

    names: list[str]
    hypervolume: float


def best_so_far(trials: Mapping[str, Mapping[str, Any]]) -> BestSoFar:
    """The best of ``trials``, metrics by a name, with those that missed a limit left out.

    The hypervolume is the share that all their trade-offs dominate of the box of accuracies from 0 to 1 and of average MACs,
    in logarithms, from a hundredth of the full cost of the dearest of them to that cost.
    """
    feasible = {name: metrics for name, metrics in trials.items() if metrics.get("feasible")}
    if not feasible:
        return BestSoFar([], 0.0)
    archive, points = Archive(2), Archive(2)
    for name, metrics in feasible.items():
        archive.add(name, [(metrics["avg_macs"], -metrics["accuracy"])])
        points.add(name, trade_off(metrics))
    order = sorted(range(len(archive.owners)), key=lambda i: archive.points[i, 0])
    dearest = max(metrics.get("full_macs", metrics["avg_macs"]) for metrics in feasible.values())
    return BestSoFar([archive.owners[i] for i in order], hypervolume(points.points.tolist(), dearest))


def trade_off(metrics: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Average MACs and negative accuracy of every point of a trial's trade-off, the reported one included."""
    front = metrics.get(FRONT) or {}
    costs = (*front.get("avg_macs", ()), metrics["avg_macs"])
    return [*zip(costs, (-a for a in (*front.get("accuracy", ()), metrics["accuracy"])), strict=True)]


def hypervolume(points: Sequence[Sequence[float]], dearest: float) -> float:
    """The share of the box of :func:`best_so_far` that non-dominated ``points`` of trade-offs dominate."""
    # accuracy rises with cost along non-dominated points: each holds until the next one begins
    places = [
        (max(0.0, 1 + math.log10(max(cost, 1) / dearest) / DECADES), -loss)
        for cost, loss in sorted((p[0], p[1]) for p in points)
    ]
    ends = [min(place, 1.0) for place, _ in places[1:]] + [1.0]
    return sum(accuracy * max(end - place, 0.0) for (place, accuracy), end in zip(places, ends, strict=True))
