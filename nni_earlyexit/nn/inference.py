"""Example inputs, and running a network without training it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def example(input_shape: Sequence[int], batch_size: int = 1, device: torch.device | None = None) -> Tensor:
    """Inputs of this shape: images of zeros, or, where the shape is one number, sentences of token 1."""
    if len(input_shape) == 1:
        return torch.ones(batch_size, *input_shape, dtype=torch.long, device=device)
    return torch.zeros(batch_size, *input_shape, device=device)


def best_device() -> torch.device:
    """The GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def probing(network: nn.Module) -> Iterator[None]:
    """:func:`inference` for passes of one input, which only tell something about the network.

    With one thread: so little work is done sooner than shared, and many times sooner on a machine that is busy.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with inference(network):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def inference(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the mode that the network was in comes back afterwards."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)
