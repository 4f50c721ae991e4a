"""Batches of a split, and who reads them."""

from __future__ import annotations

import pytest
import torch
from nni_earlyexit import data
from nni_earlyexit.data.loaders import READERS_OF_A_GPU, batches, readers


@pytest.fixture(scope="module")
def train():
    return data.load("digits").train


@pytest.mark.parametrize(("gpu", "workers", "number"), [(False, None, 0), (True, None, READERS_OF_A_GPU), (True, 0, 0)])
def test_for_a_gpu_what_lies_in_memory_is_read_ahead(train, monkeypatch, gpu, workers, number):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert readers(train, workers) == number


def test_batches_are_the_same_whoever_reads(train):
    here, ahead = (batches(train, 256, shuffle=True, seed=3, workers=workers) for workers in (0, READERS_OF_A_GPU))
    for _ in range(2):  # epochs
        for (x, y), (other_x, other_y) in zip(here, ahead, strict=True):
            assert torch.equal(x, other_x)
            assert torch.equal(y, other_y)
