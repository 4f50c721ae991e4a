"""What a finished trial leaves in its folder: all that is needed to use the network later without training again.

===================== ==========================================================================
``trial.json``        space, sample, policy, metrics, exit costs and the settings of the training
``weights.safetensors`` the network's weights
``outputs.npz``       what its exits say on the validation and the calibration split (:mod:`nni_earlyexit.outputs`)
===================== ==========================================================================

``trial.json`` is written last and at once, so that a folder that has it is whole.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nni_earlyexit.policy import ExitPolicy
from nni_earlyexit.settings import Settings

if TYPE_CHECKING:
    from nni_earlyexit.evaluator import Evaluation
    from nni_earlyexit.network import EarlyExitNetwork

FORMAT = 1
SUMMARY, WEIGHTS, OUTPUTS = "trial.json", "weights.safetensors", "outputs.npz"


@dataclass(frozen=True)
class Record:
    """A finished trial as it lies in ``folder``. ``policy`` is ``None`` for a network that missed a limit untrained."""

    folder: Path
    space: str
    sample: dict[str, Any]
    metrics: dict[str, Any]
    policy: ExitPolicy | None
    settings: Settings
    exit_latency_s: list[float] | None = None
    diagnostics: Sequence[Mapping[str, Any]] = ()

    def network(self) -> EarlyExitNetwork:
        """The trained network, in evaluation mode."""
        from nni_earlyexit import search_spaces
        from safetensors.torch import load_file

        network = search_spaces.create(self.space).freeze(self.sample)
        network.load_state_dict(load_file(self.folder / WEIGHTS))
        return network.eval()


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Wait until no other process works on the trial in ``folder``, and keep others waiting meanwhile.

    When NNI's manager is killed, its trials go on until their next report. The resumed experiment starts them again.
    """
    directory = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a network file system may have no locks
            fcntl.flock(directory, fcntl.LOCK_EX)  # gone with the process, however it ends
        yield
    finally:
        os.close(directory)


def save(evaluation: Evaluation, folder: Path, settings: Settings) -> None:
    """Write ``evaluation`` to ``folder``, which is made if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    if evaluation.policy is not None and evaluation.calibration is not None:
        from safetensors.torch import save as serialise

        weights = {name: tensor.contiguous() for name, tensor in evaluation.network.state_dict().items()}
        outputs = {
            "validation_logits": evaluation.logits,
            "validation_labels": evaluation.labels,
            "calibration_logits": evaluation.calibration[0],
            "calibration_labels": evaluation.calibration[1],
            "exit_costs": np.asarray(evaluation.network.exit_costs),
            "branch_costs": np.asarray(evaluation.network.branch_costs),
        }
        write_whole(folder / WEIGHTS, lambda path: path.write_bytes(serialise(weights)))
        write_whole(folder / OUTPUTS, lambda path: np.savez_compressed(path.open("wb"), **outputs))
    summary = {
        "format": FORMAT,
        "space": evaluation.network.space,
        "sample": evaluation.metrics["sample"],
        "policy": None if evaluation.policy is None else evaluation.policy.to_dict(),
        "metrics": evaluation.metrics,
        "exit_costs": list(evaluation.costs.macs),
        "exit_latency_s": None if evaluation.costs.latency_s is None else list(evaluation.costs.latency_s),
        "diagnostics": [diagnostic.to_dict() for diagnostic in evaluation.diagnostics],
        "settings": settings.to_dict(),
    }
    write_json(folder / SUMMARY, summary)


def load(folder: Path) -> Record | None:
    """The finished trial in ``folder``, or ``None`` when there is none."""
    path = folder / SUMMARY
    if not path.is_file():
        return None
    summary: Mapping[str, Any] = json.loads(path.read_text())
    if summary.get("format") != FORMAT:
        raise ValueError(f"{path}: format {summary.get('format')!r} is not {FORMAT}, the one that this version reads")
    policy = summary["policy"]
    return Record(
        folder,
        summary["space"],
        summary["sample"],
        summary["metrics"],
        None if policy is None else ExitPolicy.from_dict(policy),
        Settings.from_dict(summary["settings"]),
        summary.get("exit_latency_s"),
        summary.get("diagnostics", ()),
    )


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` so that the file is either the old or the new one, whatever happens in between."""
    write_whole(path, lambda temporary: temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n"))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file, then put it in the place of ``path`` at once."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
