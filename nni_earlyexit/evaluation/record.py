"""The record of a finished trial in its folder: all that is needed to use the network later without training again.

===================== ==========================================================================
``trial.json``        space, sample, policy, metrics, exit costs, the settings of the training, what it was made
                      with, and checksums
``weights.safetensors`` the network's weights
``outputs.npz``       what its exits say on the validation and the calibration split
``preprocessing.json`` the way from an image or a sentence to what the network takes; names of classes
===================== ==========================================================================

``trial.json`` is written last and at once, so that a folder that has it is whole. Disks and copies damage
files, so the checksums are compared whenever one is read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files
from nni_earlyexit.utils.checks import is_number
from nni_earlyexit.utils.provenance import made_with
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nni_earlyexit.evaluation.evaluation import Evaluation
    from nni_earlyexit.nn.network import EarlyExitNetwork
    from nni_earlyexit.nn.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)

FORMAT = 2
UNCHECKED_FORMAT = 1
"""Format of trials that have no checksums, and are read without."""
OF_NNI = 5
"""Folders above that of a trial, up to the one that holds all experiments."""
SUMMARY, WEIGHTS, OUTPUTS = "trial.json", "weights.safetensors", "outputs.npz"
PREPROCESSING = "preprocessing.json"
FILES = (WEIGHTS, OUTPUTS, PREPROCESSING)
OF_THE_NETWORK = (WEIGHTS, PREPROCESSING)


class Damaged(ValueError):
    """A trial's folder holds something else than the trial wrote there."""


class Unreadable(Damaged):
    """A trial's files may be what it wrote, but this version, or this machine at the moment, cannot read them."""


@dataclass(frozen=True)
class Record:
    """A finished trial as it lies in ``folder``.

    ``space`` is ``None`` for a network of another kind of space, ``policy`` for one that missed a limit untrained.
    ``made_with`` are the versions and the machine that it was made with, of trials that say so.
    """

    folder: Path
    space: str | None
    sample: dict[str, Any]
    metrics: dict[str, Any]
    policy: ExitPolicy | None
    settings: Settings
    exit_latency_s: list[float] | None = None
    branch_latency_s: list[float] | None = None
    diagnostics: Sequence[Mapping[str, Any]] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)

    def costs(self, macs: Sequence[int], branch_macs: Sequence[int]) -> ExitCosts:
        """The costs of the network, given its MACs to leave at each exit and those of each branch."""
        return ExitCosts(
            macs, latency_s=self.exit_latency_s, branch_macs=branch_macs, branch_latency_s=self.branch_latency_s
        )

    def labels(self) -> dict[str, NDArray[np.integer]]:
        """The classes of the validation and the calibration split that the trial saw; none where they cannot be read."""
        try:
            with np.load(self.folder / OUTPUTS, allow_pickle=False) as stored:
                return {part: stored[f"{part}_labels"] for part in ("validation", "calibration")}
        except Exception:  # of half a dozen modules, for a damaged file can hold anything
            return {}

    def file(self, name: str) -> Path:
        """The trial's file ``name``; :class:`Damaged` unless it is what the trial wrote."""
        path = self.folder / name
        try:
            whole = self.checksums.get(name) in (None, files.checksum(path))
        except FileNotFoundError as error:
            raise Damaged(f"{path}: {error.strerror}") from None
        except OSError as error:
            raise Unreadable(f"{path}: {error.strerror}") from None
        if not whole:
            raise Damaged(f"{path}: its checksum is not that of what the trial wrote")
        return path

    def check_whole(self, names: Sequence[str] = FILES) -> None:
        """Raise :class:`Damaged` unless every file of ``names`` is what the trial wrote."""
        if self.policy is not None:  # else there are no others
            for name in names:
                if name in {WEIGHTS, OUTPUTS, *self.checksums}:
                    self.file(name)

    def network(self) -> EarlyExitNetwork:
        """The trained network, in evaluation mode.

        Raises :class:`Damaged` for other weights than it had, and ``ValueError`` for a space that may not be imported (see
        :func:`nni_earlyexit.search_spaces.restore`).
        """
        from nni_earlyexit import search_spaces
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if self.space is None:
            raise ValueError("it is not a network of an early-exit space, which could be built again")
        path = self.file(WEIGHTS)
        network = search_spaces.restore(self.space).freeze(self.sample)
        try:
            network.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError, ValueError) as error:  # RuntimeError: of other shapes or names
            raise Damaged(f"{path}: {' '.join(str(error).split())[:300]}") from None
        network.preprocessing, network.policy = self.preprocessing(), self.policy
        return network.eval()

    def preprocessing(self) -> Preprocessing | None:
        """The preprocessing of the network; ``None`` for a trial of an earlier version, which did not keep it."""
        from nni_earlyexit.nn.preprocessing import Preprocessing

        if PREPROCESSING not in self.checksums:
            return None
        path = self.file(PREPROCESSING)
        try:
            return Preprocessing.from_dict(files.read_json(path, "preprocessing"))
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise Damaged(f"{path}: {' '.join(str(error).split())[:300]}") from None


def save(evaluation: Evaluation, folder: Path, settings: Settings) -> None:
    """Write ``evaluation`` to ``folder``, which is made if it does not exist."""
    files.make_folder(folder)
    checksums = {}
    validation, calibration = evaluation.validation, evaluation.calibration
    if validation is not None and calibration is not None:
        from safetensors.torch import save as serialise

        # copies, for the format takes no two names of one tensor, as a layer that stands twice has them
        weights = {name: tensor.contiguous().clone() for name, tensor in evaluation.network.state_dict().items()}
        outputs = {
            "validation_logits": validation.logits,
            "validation_labels": validation.labels,
            "calibration_logits": calibration.logits,
            "calibration_labels": calibration.labels,
            "exit_costs": np.asarray(evaluation.network.exit_costs),
            "branch_costs": np.asarray(evaluation.network.branch_costs),
        }
        files.write_whole(folder / WEIGHTS, lambda path: path.write_bytes(serialise(weights)))
        files.write_arrays(folder / OUTPUTS, outputs)
        files.write_json(folder / PREPROCESSING, evaluation.preprocessing.to_dict())
        checksums = {name: files.checksum(folder / name) for name in FILES}
    summary = {
        "format": FORMAT,
        "space": evaluation.network.space,
        "sample": evaluation.metrics["sample"],
        "policy": None if evaluation.policy is None else evaluation.policy.to_dict(),
        "metrics": evaluation.metrics,
        "exit_costs": list(evaluation.costs.macs),
        "exit_latency_s": None if evaluation.costs.latency_s is None else list(evaluation.costs.latency_s),
        "branch_latency_s": None
        if evaluation.costs.branch_latency_s is None
        else list(evaluation.costs.branch_latency_s),
        "diagnostics": [diagnostic.to_dict() for diagnostic in evaluation.diagnostics],
        "settings": settings.to_dict(),
        "made_with": made_with(),
    }
    checksums[SUMMARY] = _checksum(summary)
    files.write_json(folder / SUMMARY, {**summary, "checksums": checksums})
    for above in folder.parents[:OF_NNI]:  # which may have been made just now, by NNI's manager
        with suppress(OSError):
            files.sync(above)


def load(folder: Path) -> Record | None:
    """The finished trial in ``folder``, or ``None`` when there is none; :class:`Damaged` for one that cannot be read."""
    path = folder / SUMMARY
    as_written = False
    try:
        if not path.is_file():
            return None
        summary = files.read_json(path, "trial")
        as_written = _is_as_written(summary)
        return _parsed(folder, summary)
    except Exception as error:  # a damaged file can hold anything
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        kind = Unreadable if isinstance(error, OSError) or as_written else Damaged
        raise kind(f"{path}: {reason[:300]}") from None


def load_network(folder: Path) -> EarlyExitNetwork:
    """The network of the finished trial in ``folder``, which knows how to prepare its inputs.

    Raises ``FileNotFoundError`` where no trial has finished, ``ValueError`` for one without a trained network or of an earlier
    version, and what :meth:`Record.network` raises.
    """
    trial = load(folder)
    if trial is None:
        raise FileNotFoundError(f"folder: there is no finished trial in {str(folder)!r}, which would have a {SUMMARY}")
    if trial.policy is None:
        raise ValueError(f"folder: the network of {str(folder)!r} missed a limit and was not trained")
    network = trial.network()
    if network.preprocessing is None:
        raise ValueError(
            f"folder: the trial in {str(folder)!r} is of an earlier version, which did not keep how inputs are prepared; train "
            "it again"
        )
    return network


def finished(folder: Path, sample: Mapping[str, Any] | None, settings: Settings, space: str | None) -> Record | None:
    """The trial that was finished in ``folder``, whole, if it was this training of this network; ``space=None``: of any."""
    try:
        record = load(folder)
        if (
            record is None
            or (record.sample, record.settings) != (sample, settings)
            or space not in (None, record.space)
        ):
            return None
        record.check_whole()
        return record
    except Damaged as error:
        _logger.error("What this trial had finished is damaged, it is trained again: %s", error)
        return None


def is_damaged(folder: Path) -> bool:
    """``True`` if a trial has finished in ``folder`` and a file of it is not what it wrote, which is logged."""
    try:
        record = load(folder)
        if record is not None:
            record.check_whole()
    except Unreadable as error:
        _logger.error("A finished trial cannot be read, and is left as it is: %s", error)
    except Damaged as error:
        _logger.error("What a trial had finished is damaged, its network is trained again: %s", error)
        return True
    return False


def _parsed(folder: Path, summary: Mapping[str, Any]) -> Record:
    if not isinstance(summary, Mapping) or summary.get("format") not in (FORMAT, UNCHECKED_FORMAT):
        written = summary.get("format") if isinstance(summary, Mapping) else None
        raise ValueError(f"format {written!r} is not {FORMAT}, the one that this version reads")
    checksums: Mapping[str, str] = {}
    if summary["format"] == FORMAT:
        checksums = summary["checksums"]
        if not _is_as_written(summary):
            raise ValueError("its checksum is not that of what the trial wrote")
        if summary["policy"] is not None and not {WEIGHTS, OUTPUTS} <= checksums.keys():
            raise ValueError("checksums of weights and outputs are missing")
    metrics, policy = summary["metrics"], summary["policy"]
    for name in ("feasible", "accuracy", "avg_macs", "default"):
        if not math.isfinite(metrics[name]):
            raise ValueError(f"metrics: {name} is {metrics[name]!r}")
    seconds = {name: summary.get(name) for name in ("exit_latency_s", "branch_latency_s")}
    for name, values in seconds.items():
        if values is not None and not (isinstance(values, list) and all(map(is_number, values))):
            raise ValueError(f"{name} is {str(values)[:100]!r}")
    return Record(
        folder=folder,
        space=None if summary["space"] is None else str(summary["space"]),
        sample=dict(summary["sample"]),
        metrics=dict(metrics),
        policy=None if policy is None else ExitPolicy.from_dict(policy),
        settings=Settings.from_dict(summary["settings"]),
        **seconds,
        diagnostics=summary.get("diagnostics", ()),
        checksums=checksums,
        made_with={str(name): str(value) for name, value in dict(summary.get("made_with", {})).items()},
    )


def _is_as_written(summary: Any) -> bool:
    """``True`` if the checksum in the content of a :data:`SUMMARY` is that of what stands beside it."""
    checksums = summary.get("checksums") if isinstance(summary, Mapping) else None
    if not isinstance(checksums, Mapping) or SUMMARY not in checksums:
        return False
    return bool(
        checksums[SUMMARY] == _checksum({name: value for name, value in summary.items() if name != "checksums"})
    )


def _checksum(summary: Mapping[str, Any]) -> str:
    """SHA-256 of plain data, however its JSON is laid out."""
    text = json.dumps(summary, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
