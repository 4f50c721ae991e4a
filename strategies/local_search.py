"""Pareto local search (Paquete et al., 2004): the neighbours of the best networks, one choice away, until none is left.

Simple, and hard to beat where neighbours are alike (White et al., arXiv 2004.08996).
"""

from __future__ import annotations

from nni_earlyexit.search.ask_tell import AskTell
from nni_earlyexit.search.domain import Domain, Sample


class Strategy(AskTell):
    """A neighbour of each network of the front, in turn; random networks while there is no front, or no new neighbour."""

    def start(self, domain: Domain) -> None:
        """Begin to explore ``domain``, at the first network of the front."""
        super().start(domain)
        self._turn = 0

    def propose(self) -> Sample:
        """A new neighbour of the network whose turn it is; a random sample where there is none."""
        front = self.front()
        for i in range(len(front)):
            for neighbour in self.neighbours(front[(self._turn + i) % len(front)].sample):
                if self.possible(neighbour) is not None:
                    self._turn += i + 1
                    return neighbour
        return self.random_sample()

    def own_state(self) -> int:
        """The number of the network whose turn it is."""
        return self._turn

    def load_own_state(self, state: int) -> None:
        """Take the turn from ``state``."""
        self._turn = state
