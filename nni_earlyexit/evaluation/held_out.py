"""A network with its cutoffs fitted again to calibration data, on what it was not trained on, from stored outputs alone.

Test data have no part in it, so that they stay a fair judge of what is chosen by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.record import Damaged, Record
from nni_earlyexit.search import goal
from nni_earlyexit.thresholds.outputs_file import OutputsFile
from nni_earlyexit.thresholds.outputs_file import load as load_outputs
from numpy.typing import NDArray

SPLITS = ("validation", "calibration")


@dataclass(frozen=True)
class HeldOut:
    """The validation and the calibration split under the cutoffs of a network.

    Attributes
    ----------
    accuracies, avg_macs
        Accuracy and average MACs on each split, by its name.
    accuracy
        Accuracy on both together.
    """

    accuracies: Mapping[str, float]
    avg_macs: Mapping[str, float]
    accuracy: float

    @property
    def score(self) -> float:
        """The scalar metric of a search on validation data, to which the cutoffs were not fitted.

        Halving the average MACs is worth one point of accuracy; see :func:`nni_earlyexit.search.goal.score`.
        """
        return goal.score(self.accuracies["validation"], self.avg_macs["validation"])


def held_out(trial: Record, outputs: OutputsFile) -> HeldOut:
    """The network of ``trial`` on the splits of its ``outputs``, with the cutoffs that its goal picks on calibration data.

    ``ValueError`` or ``LookupError`` for outputs that are not those of a trial.
    """
    from nni_earlyexit.evaluation.metrics import fit_cutoffs

    exit_costs = [int(cost) for cost in outputs.exit_costs]
    branches = [0] * len(exit_costs) if outputs.branch_costs is None else [int(cost) for cost in outputs.branch_costs]
    costs = trial.costs(exit_costs, branches)
    policy = fit_cutoffs(trial.settings, outputs.logits["calibration"], outputs.labels["calibration"], costs).policy
    spent = np.array(policy.costs_without_dropped(exit_costs, branches))
    right = {name: policy.predict(outputs.logits[name]) == outputs.labels[name] for name in SPLITS}
    return HeldOut(
        {name: float(own.mean()) for name, own in right.items()},
        {name: float(spent[policy.exits(outputs.logits[name])].mean()) for name in SPLITS},
        together(right),
    )


def together(right: Mapping[str, NDArray[np.bool_]]) -> float:
    """Accuracy on several splits together, from the inputs (inputs,) of each that were right."""
    return float(np.concatenate(list(right.values())).mean())


def recommended(trials: Sequence[Record]) -> Record:
    """The network to take where nothing else is wanted: that of the largest :attr:`HeldOut.score`.

    Raises ``ValueError`` where the outputs of none can be read.
    """
    scores = [(own.score, trial) for trial in trials if (own := _readable(trial)) is not None]
    if not scores:
        raise ValueError("trial: the outputs of no network of the front can be read")
    return max(scores, key=lambda pair: pair[0])[1]


def _readable(trial: Record) -> HeldOut | None:
    try:
        return held_out(trial, load_outputs(trial.file(record.OUTPUTS)))
    except (Damaged, ValueError, LookupError, FileNotFoundError):
        return None
