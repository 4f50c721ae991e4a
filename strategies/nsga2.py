"""Constrained NSGA-II (Deb et al., 2002), steady-state: each free worker gets a child of the best networks known by then.

Operators, sorting and survival are pymoo's. A network over a limit loses against every one within it, and less excess
beats more.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
from nni_earlyexit.ask_tell import AskTell, Domain, Sample
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.rm import ChoiceRandomMutation
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding


class Strategy(AskTell):
    """Random networks first, then children of two tournament winners: uniform crossover and a random change or two.

    Parameters
    ----------
    population_size
        Networks drawn at random at the start, and parents kept afterwards.
    """

    def __init__(self, objectives: Mapping[str, str] | None = None, seed: int = 0, population_size: int = 20) -> None:
        super().__init__(objectives, seed)
        if not isinstance(population_size, int) or population_size < 2:
            raise ValueError(f"population_size: {population_size!r} is not possible; a whole number from 2 is")
        self.population_size = population_size

    def start(self, domain: Domain) -> None:
        super().start(domain)
        # a sample is an array of positions among the values of each label
        self._labels = list(domain.choices)
        self._problem = Problem(
            vars={label: Choice(options=range(len(values))) for label, values in domain.choices.items()},
            n_obj=len(self.objectives),
            n_ieq_constr=1,
        )
        self._survival = RankAndCrowding()
        self._selection = TournamentSelection(func_comp=binary_tournament)
        self._crossover = UniformCrossover()
        self._mutation = ChoiceRandomMutation()

    def propose(self) -> Sample:
        if len(self.trials) + len(self.pending) < self.population_size:
            return self.random_sample()
        parents = self._parents()
        if len(parents) < 2:
            return self.random_sample()
        algorithm = SimpleNamespace(tournament_type="comp_by_dom_and_crowding", random_state=self.rng)
        mating = self._selection.do(
            self._problem, parents, 1, n_parents=2, algorithm=algorithm, random_state=self.rng, to_pop=False
        )
        children = self._crossover.do(self._problem, parents, mating, random_state=self.rng)
        children = self._mutation.do(self._problem, children, random_state=self.rng)
        positions = children[self.rng.integers(len(children))].X
        return {label: self.domain.choices[label][int(i)] for label, i in zip(self._labels, positions, strict=True)}

    def _parents(self) -> Population:
        """The best networks known, at most ``population_size``, with their rank and crowding."""
        finished = [trial for trial in self.trials.values() if trial.losses is not None]
        if not finished:
            return Population.empty()
        positions = [
            [self.domain.choices[label].index(trial.sample[label]) for label in self._labels] for trial in finished
        ]
        population = Population.new(
            X=np.array(positions, dtype=object),
            F=np.array([trial.losses for trial in finished]),
            G=np.array([[trial.excess] for trial in finished]),
        )
        return self._survival.do(self._problem, population, n_survive=self.population_size, random_state=self.rng)
