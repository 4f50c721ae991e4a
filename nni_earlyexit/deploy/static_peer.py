"""The best static network that the same search has to offer: every trained network of it, cut off at each of its exits.

Early exits are worth their trouble where they beat it, and not only the same network without exits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.network_front import finished
from nni_earlyexit.evaluation.record import Damaged, Record
from nni_earlyexit.evaluation.stored_outputs import experiment_folder
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.runtime.bundle import WEIGHTS, Bundle
from nni_earlyexit.thresholds.outputs_file import OutputsFile
from nni_earlyexit.thresholds.outputs_file import load as load_outputs
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray

CHOSEN_ON = "calibration"
"""The split whose accuracies are compared, as that of the bundle's cutoffs."""


@dataclass(frozen=True)
class StaticPeer:
    """A network that ends at one exit and has no other.

    Attributes
    ----------
    trial, exit
        The trained network that it is a part of, and its exit there (0-based, of those that are present).
    macs
        MACs of an input.
    accuracies, bundle_accuracies
        Its accuracy on the calibration and the validation split, and that of the bundle under its policy.
    candidates
        Number of networks that it was chosen from.
    """

    trial: Record
    exit: int
    macs: int
    accuracies: Mapping[str, float]
    bundle_accuracies: Mapping[str, float]
    candidates: int

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
            "bundle_accuracies": dict(self.bundle_accuracies),
            "candidates": self.candidates,
        }

    def __str__(self) -> str:
        accuracies = "; ".join(
            f"{self.accuracies[name]:.2%} of the {name} inputs are right (bundle: {self.bundle_accuracies[name]:.2%})"
            for name in sorted(self.accuracies)
        )
        return (
            f"static network of equal accuracy: trial {self.trial.folder.name} cut off at exit {self.exit}, "
            f"{format_macs(self.macs)} MACs, of {self.candidates:,} the cheapest that is not worse on the {CHOSEN_ON} "
            f"split; {accuracies}"
        )


class _Alone(NamedTuple):
    """A trained network cut off at one exit, and the labels (inputs,) of its calibration split."""

    trial: Record
    exit: int
    macs: int
    accuracies: Mapping[str, float]
    labels: NDArray[np.integer]


def static_peer(bundle: Bundle, experiment: str, say: Say = print) -> StaticPeer | None:
    """The cheapest static network of an experiment that is at least as accurate as ``bundle``, by stored outputs alone.

    Parameters
    ----------
    bundle
        A bundle of a network of the experiment; its accuracy is that of its float32 policy on the calibration split.
    experiment
        ID or folder of the experiment, or the folder of one trained network.
    say
        Hears of trials that cannot be read, and of the most accurate static network where none is accurate enough.

    Returns
    -------
    StaticPeer or None
        ``None`` where no network of the experiment is accurate enough without exits.

    Raises
    ------
    ValueError
        For an experiment that the bundle's network is not from.
    """
    source: OutputsFile | None = None
    alone: list[_Alone] = []  # of the outputs themselves, only those of the bundle's network are kept
    trained = 0
    for trial, own in _outputs(_trials(experiment, say), say):
        trained += 1
        if source is None and _is_source(trial, bundle):
            source = own
        labels = own.labels[CHOSEN_ON]
        alone += [
            _Alone(trial, exit, macs, _accuracies(own, exit), labels) for exit, macs in enumerate(_macs_alone(own))
        ]
    if source is None:
        raise ValueError(f"experiment: the bundle's network is none of the {trained} trained ones of {experiment!r}")
    kept = list(bundle.architecture.kept)
    target = {
        name: float((bundle.policy.predict(logits[:, kept]) == source.labels[name]).mean())
        for name, logits in source.logits.items()
    }
    # of another seed's split, nothing can be told
    candidates = [own for own in alone if np.array_equal(own.labels, source.labels[CHOSEN_ON])]
    enough = [own for own in candidates if own.accuracies[CHOSEN_ON] >= target[CHOSEN_ON]]
    if not enough:
        best = max(own.accuracies[CHOSEN_ON] for own in candidates)
        say(
            f"no static network of equal accuracy: the bundle has {target[CHOSEN_ON]:.2%} on the {CHOSEN_ON} split, the "
            f"best of {len(candidates):,} networks without exits {best:.2%}"
        )
        return None
    chosen = min(enough, key=lambda own: (own.macs, -own.accuracies[CHOSEN_ON]))
    return StaticPeer(chosen.trial, chosen.exit, chosen.macs, chosen.accuracies, target, len(candidates))


def _trials(experiment: str, say: Say) -> list[Record]:
    alone = record.load(Path(experiment).expanduser())
    trials = finished(experiment_folder(experiment), say) if alone is None else [alone]
    return [trial for trial in trials if trial.policy is not None and trial.space is not None]


def _outputs(trials: Sequence[Record], say: Say) -> Iterator[tuple[Record, OutputsFile]]:
    for trial in trials:
        try:
            yield trial, load_outputs(trial.file(record.OUTPUTS))
        except (Damaged, ValueError, FileNotFoundError) as error:
            say(f"left out {trial.folder.name}: {error}")


def _is_source(trial: Record, bundle: Bundle) -> bool:
    """``True`` if the network of ``bundle`` is a part of that of ``trial``, with the same weights."""
    from safetensors.numpy import load_file

    if trial.sample != bundle.architecture.sample:
        return False
    whole = load_file(trial.file(record.WEIGHTS))
    return all(
        name in whole and np.array_equal(own, whole[name]) for name, own in load_file(bundle.file(WEIGHTS)).items()
    )


def _macs_alone(outputs: OutputsFile) -> list[int]:
    """MACs until each exit when no other branch is run."""
    branches = np.zeros(len(outputs.exit_costs)) if outputs.branch_costs is None else outputs.branch_costs
    earlier = np.cumsum(branches) - branches
    return [int(macs) for macs in outputs.exit_costs - earlier]


def _accuracies(outputs: OutputsFile, exit: int) -> dict[str, float]:
    return {
        name: float((logits[:, exit].argmax(axis=-1) == outputs.labels[name]).mean())
        for name, logits in outputs.logits.items()
    }
