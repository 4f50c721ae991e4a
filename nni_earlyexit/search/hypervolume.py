"""The improvement of a front by points: hypervolume, measured along lines.

Hypervolume in the box between the front's ends is the mean, over many lines parallel to the first loss's axis, of how far
along the line the front reaches. A line stands for bounds on all other losses; along it the measure is exact. With two
losses the lines are at equal distances, with more at quasi-random places. What a set of points adds is the mean of what it
adds on every line, so that thousands of sets are compared at once, and any number of losses is treated alike. Where the true
front ends is not known: losses beyond the worst ends of this one are drawn into a margin, the more the farther they are.
"""

from __future__ import annotations

import copy
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

LINES = 128

Array: TypeAlias = NDArray[np.floating]


class Improvement:
    """The hypervolume that sets of points would add to a front.

    Parameters
    ----------
    front
        Non-dominated losses (points, losses), smaller is better.
    """

    MARGIN = 0.1
    """Share of the front's extent that all beyond its worst ends counts as, ever less the farther it is."""

    def __init__(self, front: Array) -> None:
        ideal, nadir = front.min(axis=0), front.max(axis=0)
        extent = np.where(nadir > ideal, nadir - ideal, np.maximum(np.abs(nadir), 1e-9))
        self._nadir, self._margin = nadir, self.MARGIN * extent
        self._reference = nadir + self._margin
        self._ideal = ideal - self._margin
        others = front.shape[1] - 1
        if others == 0:
            unit = np.zeros((1, 0))
        elif others == 1:
            unit = ((np.arange(LINES) + 0.5) / LINES)[:, None]
        else:
            unit = qmc.Sobol(others, scramble=False).random_base2(int(math.log2(LINES)))
        unit[-1] = 1  # beyond everything, so that nothing is so far beyond the ends that it counts nothing
        self._bounds = self._ideal[1:] + unit * (self._reference - self._ideal)[1:]
        self._scale = self._reference[0] - self._ideal[0]
        self._reached = self._reach(front[None])[0]

    def _reach(self, sets: Array) -> Array:
        """Lengths (sets, lines) to which sets of points (sets, points, losses) reach on each line."""
        reached = np.zeros((len(sets), len(self._bounds)))
        if len(sets) == 1:  # all points of one set at once, else one point of all sets
            reached[0] = self._lengths(sets[0]).max(axis=0, initial=0)
            return reached
        for point in range(sets.shape[1]):
            np.maximum(reached, self._lengths(sets[:, point]), out=reached)
        return reached

    def _lengths(self, points: Array) -> Array:
        """Lengths (points, lines) to which each point (points, losses) reaches on each line."""
        own = self._drawn_near(points)
        on_line = (own[:, None, 1:] <= self._bounds).all(axis=-1)
        return np.where(on_line, (self._reference[0] - own[:, 0])[:, None], 0)

    def _drawn_near(self, points: Array) -> Array:
        """Losses (points, losses) of which those beyond the front's worst ends lie within the margin, in their order."""
        beyond = np.maximum(points - self._nadir, 0) / self._margin
        return np.minimum(points, self._nadir) + self._margin * (1 - 1 / np.sqrt(1 + 2 * beyond))

    def add(self, points: Array) -> None:
        """Count points (points, losses) as part of the front from now on."""
        self._reached = np.maximum(self._reached, self._reach(points[None])[0])

    def copy(self) -> Improvement:
        """The same front, to which points can be added without this one's knowing."""
        return copy.copy(self)

    def gains(self, sets: Array) -> Array:
        """Hypervolume that each of the sets (sets, points, losses) would add (sets,), as a share of the box."""
        return np.maximum(self._reach(sets) - self._reached, 0).mean(axis=1) / self._scale
