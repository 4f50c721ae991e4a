"""The evaluation of one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.thresholds.diagnostics import Diagnostic
from nni_earlyexit.thresholds.policy import ExitPolicy
from numpy.typing import NDArray


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation.

    ``policy``, ``logits`` and ``labels`` (validation outputs (inputs, exits, classes) and classes (inputs,)) are ``None``
    for a network that was not trained because it misses a limit. ``calibration`` is the same pair for the calibration
    split, on which nothing was decided; ``diagnostics`` say when the cutoffs should not be trusted; ``history`` holds the
    metrics after each epoch, without the front.
    """

    network: EarlyExitNetwork
    costs: ExitCosts
    metrics: dict[str, Any]
    policy: ExitPolicy | None
    logits: NDArray[np.float32] | None
    labels: NDArray[np.int64] | None
    calibration: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None
    diagnostics: Sequence[Diagnostic] = ()
    history: Sequence[Mapping[str, Any]] = ()
