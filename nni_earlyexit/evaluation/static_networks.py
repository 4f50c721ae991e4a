"""The static networks that a search has to offer: every trained network of it, cut off at each of its exits.

Early exits are worth their trouble where they beat the best of these, and not only the same network without exits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.held_out import SPLITS, together
from nni_earlyexit.evaluation.record import Damaged, Record
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.thresholds.outputs_file import OutputsFile
from nni_earlyexit.thresholds.outputs_file import load as load_outputs
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray


@dataclass(frozen=True)
class StaticNetwork:
    """A network that ends at one exit and has no other: no input leaves early.

    Attributes
    ----------
    trial, exit
        The trained network that it is a part of, and its exit there (0-based, of those that are present).
    macs
        MACs of an input.
    accuracies, accuracy
        Its accuracy on the calibration and on the validation split, and on both together.
    labels
        Classes (inputs,) of its calibration split.
    """

    trial: Record
    exit: int
    macs: int
    accuracies: Mapping[str, float]
    accuracy: float
    labels: NDArray[np.integer] = field(repr=False)

    def network(self) -> EarlyExitNetwork:
        """The network itself; raises what :meth:`Record.network` does."""
        return self.trial.network().keep([self.exit]).eval()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "trial_folder": str(self.trial.folder),
            "space": self.trial.space,
            "sample": self.trial.sample,
            "exit": self.exit,
            "macs": self.macs,
            "accuracies": dict(self.accuracies),
        }


def trained_outputs(trials: Sequence[Record], say: Say) -> Iterator[tuple[Record, OutputsFile]]:
    """The outputs of every trained network of a space of ours. ``say`` hears of those that cannot be read."""
    for trial in trials:
        if trial.policy is None or trial.space is None:
            continue
        try:
            yield trial, load_outputs(trial.file(record.OUTPUTS))
        except (Damaged, ValueError, FileNotFoundError) as error:
            say(f"left out {trial.folder.name}: {error}")


def static_networks(trial: Record, outputs: OutputsFile) -> list[StaticNetwork]:
    """The network of ``trial`` cut off at each of its exits, by its stored outputs alone.

    ``ValueError`` or ``LookupError`` for outputs that are not those of a trial.
    """
    branches = np.zeros(len(outputs.exit_costs)) if outputs.branch_costs is None else outputs.branch_costs
    earlier = np.cumsum(branches) - branches
    networks = []
    for exit, macs in enumerate(outputs.exit_costs - earlier):
        right = {name: outputs.logits[name][:, exit].argmax(axis=-1) == outputs.labels[name] for name in SPLITS}
        accuracies = {name: float(own.mean()) for name, own in right.items()}
        labels = outputs.labels["calibration"]
        networks.append(StaticNetwork(trial, exit, int(macs), accuracies, together(right), labels))
    return networks


def comparable(networks: Sequence[StaticNetwork], labels: NDArray[np.integer]) -> list[StaticNetwork]:
    """Those of the calibration split with these ``labels``: of another seed's split, nothing can be told."""
    return [own for own in networks if np.array_equal(own.labels, labels)]


def cheapest(
    networks: Sequence[StaticNetwork], accuracy: float, by: Callable[[StaticNetwork], float]
) -> StaticNetwork | None:
    """The cheapest that has at least this ``accuracy`` by the measure ``by``; ``None`` where there is none."""
    enough = [own for own in networks if by(own) >= accuracy]
    return min(enough, key=lambda own: (own.macs, -by(own)), default=None)
