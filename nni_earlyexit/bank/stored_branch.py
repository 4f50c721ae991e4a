"""A trained branch, and the file that keeps it: its weights, its outputs, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from nni_earlyexit.bank.branch import Branch
from nni_earlyexit.utils.provenance import made_with
from nni_earlyexit.utils.tensors import read_tensors, write_tensors
from numpy.typing import NDArray
from torch import Tensor

_WEIGHT = "weight:"
_LOGITS = ("validation", "calibration")


@dataclass(frozen=True)
class StoredBranch:
    """A branch after its training.

    Attributes
    ----------
    branch
        The branch.
    macs, params
        MACs and parameters of the branch alone.
    accuracies
        Validation accuracy after each pass over the stage's outputs.
    given_up
        ``True`` if the training ended early because the branch was hopeless beside cheaper ones.
    seconds
        Seconds that the training took.
    validation, calibration
        Its logits (inputs, classes) on these splits.
    weights
        Its weights by their names within the branch.
    layers
        What its layers were when it was trained (:meth:`~nni_earlyexit.bank.branch.Branches.layers`); empty where that was
        not noted.
    """

    branch: Branch
    macs: int
    params: int
    accuracies: tuple[float, ...]
    given_up: bool
    seconds: float
    validation: NDArray[np.float32] = field(repr=False)
    calibration: NDArray[np.float32] = field(repr=False)
    weights: Mapping[str, Tensor] = field(repr=False)
    layers: str = field(default="", repr=False)

    @property
    def accuracy(self) -> float:
        """Validation accuracy of the branch alone."""
        return self.accuracies[-1]

    def save(self, path: Path) -> None:
        """Write it to ``path``, whole or not at all."""
        about = {
            "stage": self.branch.stage,
            "choices": dict(self.branch.choices),
            "macs": self.macs,
            "params": self.params,
            "accuracies": list(self.accuracies),
            "given_up": self.given_up,
            "seconds": self.seconds,
            "layers": self.layers,
            "made_with": made_with(),
        }
        tensors = {f"{_WEIGHT}{name}": tensor for name, tensor in self.weights.items()}
        tensors |= {part: torch.from_numpy(getattr(self, part)) for part in _LOGITS}
        write_tensors(path, tensors, about)

    @classmethod
    def load(cls, path: Path) -> StoredBranch:
        """The branch in the file ``path``; ``ValueError`` for one that is damaged."""
        tensors, about = read_tensors(path, "bank")
        try:
            return cls(
                branch=Branch(int(about["stage"]), tuple(about["choices"].items())),
                macs=int(about["macs"]),
                params=int(about["params"]),
                accuracies=tuple(map(float, about["accuracies"])),
                given_up=bool(about["given_up"]),
                seconds=float(about["seconds"]),
                validation=tensors["validation"].numpy(),
                calibration=tensors["calibration"].numpy(),
                weights={
                    name.removeprefix(_WEIGHT): tensor for name, tensor in tensors.items() if name.startswith(_WEIGHT)
                },
                layers=str(about.get("layers", "")),
            )
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"bank: {str(path)!r} is damaged: {' '.join(str(error).split())[:200]}") from None
