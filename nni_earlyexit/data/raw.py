"""Raw data: what a kind of data set reads, before it is split and normalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class Inputs(Protocol):
    """Inputs by their positions, wherever they lie: in memory, in a mapped file, or still to be decoded."""

    def __len__(self) -> int: ...

    def read(self, positions: NDArray[np.integer]) -> Tensor:
        """The inputs (positions, *input_shape): uint8, float32 or int64."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""

    @property
    def streams(self) -> bool:
        """``True`` if reading takes time, as where images are decoded each time: then it is worth reading ahead."""

    @property
    def sums(self) -> NDArray[np.int64] | None:
        """Sums (inputs, 2, channels) of the pixels of each image and of their squares, where they are at hand."""


@dataclass(frozen=True)
class ArrayInputs:
    """Inputs (inputs, ...) that are an array; uint8 images have their channels last, as in an image file.

    A mapped array is read from the disk a batch at a time, and shared with every other process that maps it.
    """

    array: NDArray[np.generic]
    channels_last: bool = False
    sums: NDArray[np.int64] | None = None

    @property
    def streams(self) -> bool:
        """Nothing is decoded."""
        return False

    def __len__(self) -> int:
        return len(self.array)

    def read(self, positions: NDArray[np.integer]) -> Tensor:
        """The inputs at ``positions``; images whose channels are last in memory are channels-last tensors."""
        import torch

        x = torch.from_numpy(np.asarray(self.array[positions]))
        return x.permute(0, 3, 1, 2) if self.channels_last else x

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, channels first."""
        shape = self.array.shape[1:]
        return (shape[2], *shape[:2]) if self.channels_last else shape


@dataclass(frozen=True)
class Raw:
    """Data as they were read.

    Attributes
    ----------
    inputs
        Every input of every official split; ``None`` for sentences.
    labels
        Their classes (inputs,), integers from 0.
    class_names
        Names of the classes; their numbers where they have none.
    official
        Positions of inputs that the data set itself puts into a split: ``test``, and perhaps ``validation``.
    pixels
        ``True`` for uint8 images.
    sentences
        The inputs of sentences, which become token ids when the training split, and with it the vocabulary, is there.
    notes
        Sentences on what a user should know.
    unreadable
        Images that could not be read and are left out, by their positions among all, with the reasons.
    """

    inputs: Inputs | None
    labels: NDArray[np.int64]
    class_names: tuple[str, ...] = ()
    official: Mapping[str, NDArray[np.intp]] = field(default_factory=dict)
    pixels: bool = False
    sentences: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    unreadable: Mapping[int, str] = field(default_factory=dict)
