"""The numbers that a training computes with, chosen by trying a few steps.

Where a machine has units for bfloat16, plain convolutions are twice as fast in it and depthwise ones may be half as fast, so
neither the machine nor the network alone says which is better.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

STEPS = 3
WORTH = 1.1
"""bfloat16 is taken where it is at least so many times as fast, for it is less exact."""
HOPELESS = 0.25
"""No more is tried where it is at most so fast: without units for it, steps in bfloat16 take many times as long."""


def choose_precision(network: nn.Module, x: Tensor, loss: Callable[[list[Tensor]], Tensor]) -> tuple[str, float]:
    """``"float32"`` or ``"bfloat16"``, and how many times as fast steps of ``network`` are in bfloat16.

    ``x`` is a batch, and ``loss`` makes a number of the network's logits. A copy of the network takes the steps.
    """
    tried = copy.deepcopy(network).train()
    times: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for _ in range(STEPS + 1):  # in turn, so that other work on the machine slows both
        for name, seconds in times.items():
            seconds.append(_step(tried, x, loss, name == "bfloat16"))
        gain = min(times["float32"]) / min(times["bfloat16"])
        if gain <= HOPELESS and len(times["float32"]) > 1:
            return "float32", gain
    # the first step prepares what the others use again
    gain = min(times["float32"][1:]) / min(times["bfloat16"][1:])
    return ("bfloat16" if gain >= WORTH else "float32"), gain


def _step(network: nn.Module, x: Tensor, loss: Callable[[list[Tensor]], Tensor], half: bool) -> float:
    """The seconds of a step."""
    start = time.perf_counter()
    with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
        value = loss(network(x))
    value.backward()
    if x.device.type == "cuda":
        torch.cuda.synchronize()
    taken = time.perf_counter() - start
    network.zero_grad()
    return taken
