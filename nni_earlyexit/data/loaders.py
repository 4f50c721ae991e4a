"""Batches of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from nni.nas.evaluator.pytorch import DataLoader
from nni_earlyexit.data.splits import Split
from torch import Tensor
from torch.utils.data import BatchSampler, Dataset, Sampler, SequentialSampler

Augment: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]
"""Changes a batch of raw inputs, given their places in the split and the number of the epoch, from 0."""


class _Batches(Dataset[tuple[Tensor, Tensor]]):
    """Whole batches of a split by the places of their inputs: read, augmented and normalised at once."""

    def __init__(self, split: Split, augment: Augment | None, epoch: Tensor) -> None:
        self._split, self._augment, self._epoch = split, augment, epoch

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, members: list[int]) -> tuple[Tensor, Tensor]:
        places = torch.tensor(members)
        x = self._split.raw(places.numpy())
        if self._augment is not None:
            x = self._augment(x, places, int(self._epoch))
        return x if self._split.preprocessing is None else self._split.preprocessing(x), self._split.y[places]


class Shuffled(Sampler[int]):
    """A new random order each epoch; the seed alone decides which, however much random is drawn elsewhere.

    Attributes
    ----------
    epoch
        The number of the epoch that has begun, from 0; a tensor that processes share.
    """

    def __init__(self, length: int, seed: int, skip_epochs: int = 0) -> None:
        self._length = length
        self._generator = torch.Generator().manual_seed(seed)
        self.epoch = torch.tensor(-1).share_memory_()
        for _ in range(skip_epochs):
            self._draw()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        yield from self._draw()

    def _draw(self) -> list[int]:
        """The next order. A second one is drawn and lost, as torch's ``RandomSampler`` does where it comes to its end."""
        self.epoch += 1
        order, _ = (torch.randperm(self._length, generator=self._generator) for _ in range(2))
        return order.tolist()


READERS_OF_A_GPU = 2
"""Processes that read ahead for a GPU what lies in memory; a CPU computes longer than it reads."""


def readers(split: Split, workers: int | None) -> int:
    """The processes that should read ``split`` ahead: few or none unless it streams, else ``workers`` or as many as threads."""
    if not split.streams:
        return READERS_OF_A_GPU if torch.cuda.is_available() and workers is None else 0
    return torch.get_num_threads() if workers is None else workers


def batches(
    split: Split,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int = 0,
    augment: Augment | None = None,
    workers: int = 0,
    skip_epochs: int = 0,
) -> DataLoader:
    """Batches (x, y) of ``split`` as a network takes them, whole slices at a time; the last one may be smaller.

    ``augment`` changes raw inputs before they are normalised. ``workers`` processes read ahead, where reading takes time.
    With ``skip_epochs``, the orders are those after so many epochs.
    """
    shuffled = Shuffled(len(split), seed, skip_epochs)
    order = shuffled if shuffle else SequentialSampler(range(len(split)))
    # one input alone has no batch statistics
    drop_last = shuffle and len(split) % batch_size == 1
    return DataLoader(
        _Batches(split, augment, shuffled.epoch),
        sampler=BatchSampler(order, batch_size, drop_last),
        batch_size=None,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
