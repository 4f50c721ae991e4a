"""Batches of a split."""

from __future__ import annotations

import torch
from nni.nas.evaluator.pytorch import DataLoader
from nni_earlyexit.data.splits import Split
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler, TensorDataset


def batches(split: Split, batch_size: int, *, shuffle: bool, seed: int = 0) -> DataLoader:
    """Batches of ``split``, whole slices at a time; the last one may be smaller."""
    dataset = TensorDataset(split.x, split.y)
    order = (
        RandomSampler(dataset, generator=torch.Generator().manual_seed(seed)) if shuffle else SequentialSampler(dataset)
    )
    # one input alone has no batch statistics
    drop_last = shuffle and len(split) % batch_size == 1
    return DataLoader(dataset, sampler=BatchSampler(order, batch_size, drop_last), batch_size=None)
