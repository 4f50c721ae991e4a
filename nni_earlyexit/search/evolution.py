"""Common part of the evolutionary strategies: samples as arrays, children of good networks, and the networks that stay.

Operators, sorting and survival are pymoo's. They work on points, of which a trained network has a whole front: a network is
as good as the best of its points.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from nni_earlyexit.search.ask_tell import AskTell
from nni_earlyexit.search.domain import Domain, Sample, key
from nni_earlyexit.search.genetics import Genetics
from nni_earlyexit.search.trials import Trial
from nni_earlyexit.utils.checks import optional, whole_number
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.population import Population
from pymoo.operators.selection.tournament import TournamentSelection

POPULATION = 20


class Evolution(AskTell):
    """Steady-state evolution: random networks first, then each free worker gets a child of the best known by then.

    Parameters
    ----------
    population_size
        Networks drawn at random at the start, and parents kept afterwards; 20 by default, fewer in a smaller space.
    """

    def __init__(
        self,
        objectives: Mapping[str, str] | None = None,
        seed: int = 0,
        initial: Sequence[Mapping[str, Any]] = (),
        whole_fronts: bool = True,
        population_size: int | None = None,
    ) -> None:
        super().__init__(objectives, seed, initial, whole_fronts)
        optional(whole_number(2))("population_size", population_size)
        self.population_size = population_size

    def start(self, domain: Domain) -> None:
        """Begin to explore ``domain``; ``ValueError`` if it has fewer networks than ``population_size``."""
        super().start(domain)
        size = self.population_size
        if size is not None and domain.size is not None and size > domain.size:
            raise ValueError(f"population_size: {size} is not possible; the space has {domain.size} networks")
        self.size = size if size is not None else min(POPULATION, domain.size or POPULATION)
        self.genetics = Genetics(domain)
        self.parents: list[Trial] = []
        """The best networks known, best first."""
        self._sorted: Population | None = None  # their points

    @abstractmethod
    def sort(self, points: Population, rng: np.random.Generator) -> Population:
        """Points with losses ``F`` and excess ``G``, best first."""

    def select(self, points: Population, pairs: int) -> NDArray[np.intp]:
        """Pairs of parents (pairs, 2), as positions among sorted points."""
        return self.rng.integers(len(points), size=(pairs, 2))

    def propose(self) -> Sample:
        """A random sample at first, then a child of two parents."""
        if len(self.trials) + len(self.pending) < self.size or len(self.parents) < 2:
            return self.random_sample()
        if self._sorted is None:
            self._sorted = self._best(self.parents)
        children = self.genetics.children(self._sorted, self.select(self._sorted, 1), self.rng)
        return children[self.rng.integers(len(children))]

    def told(self, trial: Trial) -> None:
        """Keep the best of the parents and the new network as parents."""
        candidates = [parent for parent in self.parents if key(parent.sample) != key(trial.sample)]
        if trial.losses is not None:
            candidates.append(trial)
        self.parents = [candidates[i] for i in self._best(candidates).get("owner")] if candidates else []
        self._sorted = None

    def _best(self, trials: list[Trial]) -> Population:
        """The best point of each of the best trials, best first."""
        owner = np.repeat(np.arange(len(trials)), [len(trial.points) for trial in trials])
        positions = [self.genetics.encode(trial.sample) for trial in trials]
        points = Population.new(
            X=np.array([positions[i] for i in owner], dtype=object),
            F=np.array([point for trial in trials for point in trial.points]),
            G=np.array([[trials[i].excess] for i in owner]),
            owner=owner,
        )
        # random numbers of its own, so that a restored strategy sorts alike
        points = self.sort(points, np.random.default_rng(len(self.trials)))
        _, first = np.unique(points.get("owner"), return_index=True)
        return points[np.sort(first)[: self.size]]

    def own_state(self) -> list[Sample]:
        """The samples of the parents, best first."""
        return [parent.sample for parent in self.parents]

    def load_own_state(self, state: Sequence[Sample]) -> None:
        """Take the parents from ``state``, the inverse of :meth:`own_state`."""
        self.parents = [self.trials[key(sample)] for sample in state]


CONSTRAINED = SimpleNamespace(has_constraints=lambda: True, n_ieq_constr=1, n_eq_constr=0)
"""All that pymoo's survival wants to know of a problem."""


def tournament(points: Population, pairs: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Pairs of parents (pairs, 2) by binary tournaments of rank and crowding."""
    algorithm = SimpleNamespace(tournament_type="comp_by_dom_and_crowding", random_state=rng)
    selection = TournamentSelection(func_comp=binary_tournament)
    return selection.do(None, points, pairs, n_parents=2, algorithm=algorithm, random_state=rng, to_pop=False)
