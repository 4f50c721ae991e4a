"""Costs of a network, counted while one input runs through it: the referee of every formula."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nni_earlyexit.nn.inference import probing
from nni_earlyexit.nn.memory import peak_bytes
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@contextmanager
def counter() -> Iterator[FlopCounterMode]:
    """Torch's counter of operations, two a MAC. The products of attention are run one by one: fused, torch 2.11 misses them."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counting:
        yield counting


def macs(
    stem: nn.Module, stages: Sequence[nn.Module], branches: Sequence[nn.Module | None], x: Tensor
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """MACs of the backbone up to each exit, and of each exit branch, as torch counts them for the input ``x``.

    The modules are in evaluation mode. ``branches`` holds one per stage, ``None`` where there is no exit.
    """
    backbone: list[int] = []
    own: list[int] = []
    with counter() as operations:

        def counted() -> int:
            return operations.get_total_flops() // 2

        x = stem(x)
        for blocks, branch in zip(stages, branches, strict=True):
            x = blocks(x)
            if branch is not None:
                backbone.append(counted() - sum(own))
                before = counted()
                branch(x)
                own.append(counted() - before)
    return tuple(backbone), tuple(own)


def activation_bytes(network: nn.Module, x: Tensor) -> int:
    """The most bytes of tensors alive at once while ``x`` runs through ``network``; ``x`` itself is not counted."""
    with probing(network):
        return peak_bytes(lambda: network(x))[0]
