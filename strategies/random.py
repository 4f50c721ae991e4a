"""Uniform random search: the yardstick for every other strategy."""

from __future__ import annotations

from nni_earlyexit.search.ask_tell import AskTell
from nni_earlyexit.search.domain import Sample


class Strategy(AskTell):
    """Every choice drawn uniformly."""

    def propose(self) -> Sample:
        """A random sample."""
        return self.random_sample()
