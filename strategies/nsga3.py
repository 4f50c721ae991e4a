"""NSGA-III (Deb and Jain, 2014), steady-state: for three objectives and more.

Where crowding says little, reference directions keep the networks apart: of those on the last front that has room, the
ones stay whose directions have few others.
"""

from __future__ import annotations

import math

import numpy as np
from nni_earlyexit.search.domain import Domain
from nni_earlyexit.search.evolution import CONSTRAINED, Evolution
from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
from pymoo.core.population import Population
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting
from pymoo.util.ref_dirs import get_reference_directions


class Strategy(Evolution):
    """Non-dominated sorting and reference directions, as many as there are parents; parents are drawn at random."""

    def start(self, domain: Domain) -> None:
        """Begin to explore ``domain``, with at most as many reference directions as there are parents."""
        super().start(domain)
        objectives, partitions = len(self.objectives), 1
        while math.comb(partitions + objectives, objectives - 1) <= self.size and objectives > 1:
            partitions += 1
        self._directions = get_reference_directions("das-dennis", objectives, n_partitions=partitions)

    def sort(self, points: Population, rng: np.random.Generator) -> Population:
        """Points that survive by reference directions, then the others; each by rank, then by excess."""
        excess, losses = points.get("G")[:, 0], points.get("F")
        if losses.shape[1] == 1:
            return points[np.lexsort((losses[:, 0], excess))]
        rank = np.full(len(points), np.inf)
        feasible = np.flatnonzero(excess <= 0)
        if len(feasible):
            rank[feasible] = NonDominatedSorting().do(losses[feasible], return_rank=True)[1]
        points.set("place", np.arange(len(points)))
        survivors = ReferenceDirectionSurvival(self._directions).do(
            CONSTRAINED, points, n_survive=min(self.size, len(points)), random_state=rng
        )
        stays = np.zeros(len(points), dtype=bool)
        stays[survivors.get("place").astype(int)] = True
        return points[np.lexsort((excess, rank, ~stays))]
