"""Exit outputs as a file.

It is ``.npz`` with the arrays ``calibration_logits`` (inputs, exits, classes), ``calibration_labels`` (inputs,),
``exit_costs`` (exits,), and where they are known ``branch_costs`` (exits,). Arrays that begin with another word than
``calibration`` are another set of inputs, such as ``test_logits`` and ``test_labels``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nni_earlyexit.utils import files
from numpy.typing import NDArray


@dataclass(frozen=True)
class OutputsFile:
    """Contents of a file of outputs; ``logits`` and ``labels`` by the name of the set of inputs."""

    logits: dict[str, NDArray[np.floating]]
    labels: dict[str, NDArray[np.integer]]
    exit_costs: NDArray[np.number]
    branch_costs: NDArray[np.number] | None


def load(path: Path) -> OutputsFile:
    """Read a file of outputs; ``FileNotFoundError`` or ``ValueError`` in one sentence when it is none."""
    arrays = files.read_arrays(path, "outputs")
    missing = [n for n in ("calibration_logits", "calibration_labels", "exit_costs") if n not in arrays]
    if missing:
        names = ", ".join(arrays) or "nothing"
        raise ValueError(f"outputs: {str(path)!r} lacks the array {missing[0]!r}; it holds {names}")
    sets = [name.removesuffix("_logits") for name in arrays if name.endswith("_logits")]
    sets = [name for name in sets if f"{name}_labels" in arrays]
    return OutputsFile(
        {name: arrays[f"{name}_logits"] for name in sets},
        {name: arrays[f"{name}_labels"] for name in sets},
        arrays["exit_costs"],
        arrays.get("branch_costs"),
    )
