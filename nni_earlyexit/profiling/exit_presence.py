"""The stages of a sample that have an exit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nni_earlyexit.nn.mutables import PRESENT, OptionalExit
from nni_earlyexit.nn.network import EarlyExitNetwork


class ExitPresence:
    """The stages that have an exit in a sample."""

    def __init__(self, network: EarlyExitNetwork) -> None:
        self._labels: dict[int, str | None] = {
            int(stage): branch.presence.label if isinstance(branch, OptionalExit) else None
            for stage, branch in network.exits.items()
        }
        self.stages = len(network.stages)

    def __call__(self, sample: Mapping[str, Any]) -> list[bool]:
        """One entry per stage: ``True`` if an exit follows it in ``sample``."""
        return [
            stage in self._labels and ((label := self._labels[stage]) is None or sample[label] == PRESENT)
            for stage in range(self.stages)
        ]
