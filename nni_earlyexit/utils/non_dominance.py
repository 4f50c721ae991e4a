"""The points that no other one beats: the one meaning of "non-dominated" for policies, trials and networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(losses: ArrayLike) -> NDArray[np.intp]:
    """Positions of the points (points, losses) that no other one beats in every loss, by rising first loss.

    Smaller is better. Of equal points, the first one stays. Points are equal where they differ by no more than the rounding of
    sums, 1e-12 of the largest number of a loss.
    """
    points = np.asarray(losses, dtype=float)
    points = np.round(points / np.maximum(np.abs(points).max(axis=0, initial=0), 1e-300), 12)
    order = np.lexsort(points.T[::-1])  # stable; what beats a point comes before it
    if points.shape[1] == 2:
        second = points[order, 1]
        least_before = np.minimum.accumulate(np.append(np.inf, second))[:-1]
        return order[second < least_before]
    best: list[int] = []
    rows: NDArray[Any] = np.empty((0, points.shape[1]))
    for position in order:
        if not (rows <= points[position]).all(axis=1).any():
            best.append(int(position))
            rows = np.vstack([rows, points[position]])
    return np.array(best, dtype=np.intp)
