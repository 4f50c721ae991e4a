"""The archive: the points that no other one beats so far, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from nni_earlyexit.utils.non_dominance import non_dominated
from numpy.typing import NDArray


class Archive:
    """Non-dominated points of several losses (smaller is better), each with an owner.

    If two owners have equal points, that of the first stays.

    Attributes
    ----------
    points : array of shape (points, losses)
    owners : list of str, one per point
    """

    def __init__(self, losses: int) -> None:
        self.points: NDArray[np.floating] = np.empty((0, losses))
        self.owners: list[str] = []

    def add(self, owner: str, points: Sequence[Sequence[float]]) -> None:
        """Take in those of an owner's ``points`` that no other one beats; drop what they beat."""
        self.add_all([(owner, points)])

    def add_all(self, entries: Iterable[tuple[str, Sequence[Sequence[float]]]]) -> None:
        """Take in the points of many owners, in this order, at the cost of about one."""
        new = [(owner, point) for owner, points in entries for point in points]
        rows = np.asarray([point for _, point in new], dtype=float).reshape(-1, self.points.shape[1])
        points_of_all = np.vstack([self.points, rows])
        owners = [*self.owners, *(owner for owner, _ in new)]
        stay = np.sort(non_dominated(points_of_all))  # in the order in which they came
        self.points, self.owners = points_of_all[stay], [owners[i] for i in stay]
