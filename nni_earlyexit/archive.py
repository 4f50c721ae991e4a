"""What is best so far when there is more than one objective: the points that no other one beats, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Archive:
    """Non-dominated points of several losses (smaller is better), each with an owner.

    Of equal points of two owners, that of the first stays.

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
        for point in np.asarray(points, dtype=float).reshape(-1, self.points.shape[1]):
            if (self.points <= point).all(axis=1).any():
                continue
            beaten = (self.points >= point).all(axis=1)
            if beaten.any():
                self.points = self.points[~beaten]
                self.owners = [o for o, gone in zip(self.owners, beaten, strict=True) if not gone]
            self.points = np.vstack([self.points, point])
            self.owners.append(owner)
