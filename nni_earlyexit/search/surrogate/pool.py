"""Candidates for several proposals, each time the one that promises most by then."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from nni_earlyexit.search.domain import Sample
from nni_earlyexit.search.hypervolume import Array, Improvement
from numpy.typing import NDArray

AT_ONCE = 16
"""Candidates that are judged together."""


class Pool:
    """Candidates with their possible results.

    What a candidate adds to a front becomes less with every point that the front gains. So it is judged again only while what
    it added at first is more than what the best of the others adds now, which finds the same candidate as judging all
    (lazy greedy, Minoux 1978).

    Parameters
    ----------
    samples
        The candidates by their names.
    points
        Possible losses (draws, candidates, points, losses) of each.
    front
        Non-dominated losses (points, losses) that are known; improvements are measured in their box.
    """

    def __init__(self, samples: Mapping[str, Sample], points: Array, front: Array) -> None:
        self._samples = list(samples.values())
        self._names, self._points, self._front = list(samples), points, Improvement(front)
        everyone = np.split(np.arange(len(samples)), range(AT_ONCE, len(samples), AT_ONCE))
        self._most = np.concatenate([self._gains(self._front, some) for some in everyone])

    def best(self, known: Array, is_new: Callable[[str], bool]) -> tuple[Sample, float] | None:
        """The new candidate that adds most to the front with the points ``known`` by now (points, losses), and how much.

        ``None`` if no candidate is new.
        """
        improvement = self._front.copy()
        improvement.add(known)
        new = np.flatnonzero([is_new(name) for name in self._names])
        if not new.size:
            return None
        gains = np.full(len(self._names), -np.inf)
        order = new[np.argsort(-self._most[new], kind="stable")]
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            if self._most[some[0]] < gains.max():
                break
            gains[some] = self._gains(improvement, some)
        best = int(np.argmax(gains))
        return self._samples[best], float(gains[best])

    def _gains(self, improvement: Improvement, some: NDArray[np.intp]) -> Array:
        """Expected improvement by the candidates at these positions."""
        points = self._points[:, some]
        return improvement.gains(points.reshape(-1, *points.shape[2:])).reshape(len(points), -1).mean(axis=0)
