"""Uniform random search: the yardstick for every other strategy."""

from __future__ import annotations

from nni_earlyexit.ask_tell import AskTell, Sample


class Strategy(AskTell):
    """Every choice drawn uniformly."""

    def propose(self) -> Sample:
        return self.random_sample()
