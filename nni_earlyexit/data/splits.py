"""Data in four fixed splits, each with one purpose.

``train`` trains networks. ``validation`` is what the search sees. ``calibration`` fits cutoffs after the search. ``test``
judges, in final tables only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHARES = {"train": 0.55, "validation": 0.15, "calibration": 0.1, "test": 0.2}


@dataclass(frozen=True)
class Split:
    """Inputs (inputs, *input_shape), float32 or token ids of int64, and their classes (inputs,), int64."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Data:
    """A classification task: four splits that share no input."""

    name: str
    num_classes: int
    train: Split
    validation: Split
    calibration: Split
    test: Split

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train.x.shape[1:])


class Classifier(Protocol):
    """A network, or a space of networks, that takes inputs of one shape and tells classes apart."""

    @property
    def input_shape(self) -> Sequence[int]:
        """Shape of one input, without the batch."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""


def _are_tokens(x: NDArray[np.generic]) -> TypeGuard[NDArray[np.integer]]:
    return x.ndim == 2 and x.dtype.kind in "iu"


def check_fits(task: Data, network: Classifier) -> None:
    """``ValueError`` unless ``network`` (or a space) takes the inputs of ``task`` and has its classes."""
    if (task.input_shape, task.num_classes) != (tuple(network.input_shape), network.num_classes):
        resize = f"; give input_shape {' '.join(map(str, network.input_shape))}" if len(task.input_shape) == 3 else ""
        raise ValueError(
            f"data: {task.name!r} has inputs {task.input_shape} of {task.num_classes} classes, the network takes "
            f"{tuple(network.input_shape)} of {network.num_classes}"
            f"{resize if task.num_classes == network.num_classes else ''}"
        )


def check_arrays(source: str, x: NDArray[np.generic], y: NDArray[np.generic]) -> None:
    """``ValueError`` in one sentence unless ``x`` are inputs and ``y`` their classes, enough of each for four splits."""
    if x.ndim < 2 or y.shape != x.shape[:1]:
        raise ValueError(
            f"data: in {source!r}, x has shape {x.shape} and y {y.shape}; (inputs, ...) and (inputs,) are needed"
        )
    if 0 in x.shape[1:]:
        raise ValueError(f"data: in {source!r}, x has shape {x.shape}, so that there is nothing in an input")
    if x.dtype.kind not in "fiub":
        raise ValueError(f"data: in {source!r}, x is {x.dtype}; inputs must be real numbers")
    if not np.isfinite(x).all():
        raise ValueError(f"data: in {source!r}, x holds NaN or infinite values")
    if _are_tokens(x) and (x < 0).any():
        raise ValueError(f"data: in {source!r}, x holds {x.min()}; rows of integers are token ids, which are from 0")
    if y.dtype.kind not in "iu":  # numpy counts time spans as integers
        raise ValueError(f"data: in {source!r}, y is {y.dtype}; classes must be integers from 0")
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"data: {source!r} has {len(classes)} class; at least 2 are needed")
    if classes[0] != 0 or classes[-1] != len(classes) - 1:
        raise ValueError(
            f"data: in {source!r}, y runs from {classes[0]} to {classes[-1]} with {len(classes)} different classes; "
            f"they must be 0 to {len(classes) - 1}"
        )
    if counts.min() < 10:
        raise ValueError(
            f"data: in {source!r}, class {classes[counts.argmin()]} has {counts.min()} inputs; 10 are needed for four splits"
        )


def split(source: str, x: NDArray[np.generic], y: NDArray[np.generic], seed: int = 0) -> Data:
    """Check arrays and split them; see :func:`load`."""
    check_arrays(source, x, y)
    classes = np.unique(y)
    rng = np.random.default_rng(seed)
    members: dict[str, list[NDArray[np.intp]]] = {part: [] for part in SHARES}
    edges = np.cumsum([*SHARES.values()])[:-1]
    for label in classes:
        own = rng.permutation(np.flatnonzero(y == label))
        for part, chosen in zip(SHARES, np.split(own, (edges * len(own)).round().astype(int)), strict=True):
            members[part].append(chosen)
    positions = {part: np.sort(np.concatenate(chosen)) for part, chosen in members.items()}

    def take(name: str) -> Split:
        chosen = positions[name]
        return Split(torch.from_numpy(prepared[chosen]), torch.from_numpy(y[chosen].astype(np.int64)))

    if _are_tokens(x):
        prepared = x.astype(np.int64)  # token ids
        return Data(source, len(classes), **{name: take(name) for name in SHARES})

    axes = (0, *range(2, x.ndim))
    with np.errstate(over="ignore", invalid="ignore"):  # it is looked at afterwards
        x32 = x.astype(np.float32)
        mean = x32[positions["train"]].mean(axis=axes, keepdims=True)
        deviation = x32[positions["train"]].std(axis=axes, keepdims=True)
        prepared = (x32 - mean) / np.maximum(deviation, 1e-6)
    if not np.isfinite(prepared).all():
        raise ValueError(f"data: in {source!r}, x runs from {x.min()} to {x.max()}, which is too far to be normalised")

    return Data(source, len(classes), **{name: take(name) for name in SHARES})
