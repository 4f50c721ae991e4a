"""Constrained NSGA-II (Deb et al., 2002), steady-state: each free worker gets a child of the best networks known by then.

A network over a limit loses against every one within it, and less excess beats more.
"""

from __future__ import annotations

import numpy as np
from nni_earlyexit.search.evolution import CONSTRAINED, Evolution, tournament
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding


class Strategy(Evolution):
    """Non-dominated sorting and crowding; parents win tournaments of two."""

    def sort(self, points: Population, rng: np.random.Generator) -> Population:
        """Points by rank, then by crowding distance, the largest first; those over a limit follow by their excess."""
        points = RankAndCrowding().do(CONSTRAINED, points, n_survive=len(points), random_state=rng)
        excess = points.get("G")[:, 0]
        rank = np.where(excess <= 0, points.get("rank"), np.inf).astype(float)
        crowding = np.where(excess <= 0, points.get("crowding"), 0).astype(float)
        return points[np.lexsort((excess, -crowding, rank))]

    def select(self, points: Population, pairs: int) -> NDArray[np.intp]:
        """Pairs of parents (pairs, 2) that won tournaments of two."""
        return tournament(points, pairs, self.rng)
