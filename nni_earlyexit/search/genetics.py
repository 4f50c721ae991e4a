"""Samples as arrays, and children of them, with pymoo's operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from nni_earlyexit.search.domain import Domain, Sample
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.rm import ChoiceRandomMutation

Positions: TypeAlias = NDArray[np.intp]
"""A sample as positions among the values of each label (labels,)."""


CROSSED = 0.5
"""Share of the pairs that exchange choices; the children of the others are a parent each, with a random change or two."""


class Genetics:
    """Samples of a domain as arrays, and children of them."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self._index = {label: {repr(v): i for i, v in enumerate(values)} for label, values in domain.choices.items()}
        self.problem = Problem(vars={label: Choice(options=range(len(v))) for label, v in domain.choices.items()})
        self._crossover = UniformCrossover(prob=CROSSED)
        self._mutation = ChoiceRandomMutation()

    def encode(self, sample: Mapping[str, Any]) -> Positions:
        """The positions of a sample's values."""
        return np.array([index[repr(sample[label])] for label, index in self._index.items()])

    def decode(self, positions: Sequence[int]) -> Sample:
        """The inverse of :meth:`encode`."""
        choices = self.domain.choices.items()
        return {label: values[int(i)] for (label, values), i in zip(choices, positions, strict=True)}

    def children(self, parents: Population, mating: NDArray[np.intp], rng: np.random.Generator) -> list[Sample]:
        """Two children of each pair (pairs, 2) of positions among the parents: uniform crossover, a random change or two."""
        children = self._crossover.do(self.problem, parents, mating, random_state=rng)
        children = self._mutation.do(self.problem, children, random_state=rng)
        return [self.decode(child.X) for child in children]

    def mutants(self, parents: Population, which: NDArray[np.intp], rng: np.random.Generator) -> list[Sample]:
        """A parent with a random change or two for each of the positions (mutants,) among the parents."""
        # individuals of their own: pymoo would change one that stands there twice only once
        mutants = Population.new(X=parents.get("X")[which])
        return [self.decode(child.X) for child in self._mutation.do(self.problem, mutants, random_state=rng)]
