"""Costs of a network, counted while one input runs through it: the referee of every formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nni_earlyexit.nn.inference import example, inference
from nni_earlyexit.nn.memory import peak_bytes
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from nni_earlyexit.nn.network import EarlyExitNetwork


def macs(network: EarlyExitNetwork) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """MACs of the backbone up to each exit, and of each exit branch, as torch counts them."""
    backbone: list[int] = []
    branches: list[int] = []
    with inference(network), FlopCounterMode(display=False) as counter:

        def counted() -> int:
            return counter.get_total_flops() // 2

        x = network.stem(example(network.input_shape, device=next(network.parameters()).device))
        for stage, blocks in enumerate(network.stages):
            x = blocks(x)
            branch = network.exit_after(stage)
            if branch is not None:
                backbone.append(counted() - sum(branches))
                before = counted()
                branch(x)
                branches.append(counted() - before)
    return tuple(backbone), tuple(branches)


def activation_bytes(network: EarlyExitNetwork) -> int:
    """The most bytes of tensors alive at once while one input runs to the last exit; the input is not counted (float32)."""
    x = example(network.input_shape, device=next(network.parameters()).device)
    with inference(network):
        return peak_bytes(lambda: network(x))[0]
