"""The static network of the same search that is as accurate as a bundle: the one that it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.network_front import finished, is_usable
from nni_earlyexit.evaluation.record import Record
from nni_earlyexit.evaluation.static_networks import (
    StaticNetwork,
    cheapest,
    comparable,
    static_networks,
    trained_outputs,
)
from nni_earlyexit.evaluation.stored_outputs import experiment_folder
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.runtime.bundle import WEIGHTS, Bundle
from nni_earlyexit.thresholds.outputs_file import OutputsFile
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import Say

CHOSEN_ON = "calibration"
"""The split whose accuracies are compared, as that of the bundle's cutoffs."""


@dataclass(frozen=True)
class StaticPeer:
    """The static network beside a bundle.

    Attributes
    ----------
    static
        The network.
    bundle_accuracies
        The accuracies of the bundle under its policy, on the splits of those of the static network.
    candidates
        Number of networks that it was chosen from.
    """

    static: StaticNetwork
    bundle_accuracies: Mapping[str, float]
    candidates: int

    def network(self) -> EarlyExitNetwork:
        """The network itself; raises what :meth:`Record.network` does."""
        return self.static.network()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            **self.static.to_dict(),
            "bundle_accuracies": dict(self.bundle_accuracies),
            "candidates": self.candidates,
        }

    def __str__(self) -> str:
        own = self.static
        accuracies = "; ".join(
            f"{own.accuracies[name]:.2%} of the {name} inputs are right (bundle: {self.bundle_accuracies[name]:.2%})"
            for name in sorted(own.accuracies)
        )
        return (
            f"static network of equal accuracy: trial {own.trial.folder.name} cut off at exit {own.exit}, "
            f"{format_macs(own.macs)} MACs, of {self.candidates:,} the cheapest that is not worse on the {CHOSEN_ON} "
            f"split; {accuracies}"
        )


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
    networks: list[StaticNetwork] = []  # of the outputs themselves, only those of the bundle's network are kept
    trained = 0
    for trial, outputs in trained_outputs(_trials(experiment, say), say):
        trained += 1
        if source is None and _is_source(trial, bundle):
            source = outputs
        networks += static_networks(trial, outputs)
    if source is None:
        raise ValueError(f"experiment: the bundle's network is none of the {trained} trained ones of {experiment!r}")
    kept = list(bundle.architecture.kept)
    target = {
        name: float((bundle.policy.predict(logits[:, kept]) == source.labels[name]).mean())
        for name, logits in source.logits.items()
    }
    candidates = comparable(networks, source.labels[CHOSEN_ON])
    chosen = cheapest(candidates, target[CHOSEN_ON], by=lambda own: own.accuracies[CHOSEN_ON])
    while chosen is not None and not is_usable(chosen.trial, say):
        candidates = [own for own in candidates if own.trial.folder != chosen.trial.folder]
        chosen = cheapest(candidates, target[CHOSEN_ON], by=lambda own: own.accuracies[CHOSEN_ON])
    if chosen is None:
        best = max((own.accuracies[CHOSEN_ON] for own in candidates), default=0.0)
        say(
            f"no static network of equal accuracy: the bundle has {target[CHOSEN_ON]:.2%} on the {CHOSEN_ON} split, the "
            f"best of {len(candidates):,} networks without exits {best:.2%}"
        )
        return None
    return StaticPeer(chosen, target, len(candidates))


def _trials(experiment: str, say: Say) -> list[Record]:
    alone = record.load(expanded(experiment))
    return finished(experiment_folder(experiment), say) if alone is None else [alone]


def _is_source(trial: Record, bundle: Bundle) -> bool:
    """``True`` if the network of ``bundle`` is a part of that of ``trial``, with the same weights."""
    from safetensors.numpy import load_file

    if trial.sample != bundle.architecture.sample:
        return False
    try:
        whole = load_file(trial.file(record.WEIGHTS))
    except record.Damaged:  # its network may have been trained again
        return False
    return all(
        name in whole and np.array_equal(own, whole[name]) for name, own in load_file(bundle.file(WEIGHTS)).items()
    )
