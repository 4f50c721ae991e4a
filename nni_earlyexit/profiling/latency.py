"""Seconds until each exit of a network, measured on this machine.

Machines get faster and slower by the minute. What is to be compared is therefore measured in turns, several times over.
"""

from __future__ import annotations

import copy
import platform
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from nni_earlyexit.nn.inference import example
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.utils.checks import check_number, lookup
from nni_earlyexit.utils.provenance import processor
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)

NETWORK_ROUNDS = 8
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Measurement(NamedTuple):
    """Seconds until an exit's logits are there.

    Attributes
    ----------
    median
        Median of all repetitions.
    spread
        Distance between the first and the third quartile.
    """

    median: float
    spread: float


@dataclass(frozen=True)
class Conditions:
    """Conditions of a measurement: inputs at once, CPU threads, and the type of weights and activations."""

    batch_size: int = 1
    threads: int = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            check_number(name, getattr(self, name), 1)
        lookup(DTYPES, self.dtype, "dtype")

    def inputs(self, input_shape: Sequence[int]) -> Tensor:
        """Inputs of that type: random images, in the memory format that is fastest for them, or sentences."""
        x = example(input_shape, self.batch_size)
        if x.dtype == torch.long:
            return x
        x = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(DTYPES[self.dtype])
        return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x

    def prepared(self, network: ModuleT) -> ModuleT:
        """A copy of ``network`` to measure: of that type, on the CPU, channels last as in training."""
        # made outside of inference mode and apart from the original, which can then be trained on, unrounded
        return copy.deepcopy(network).to("cpu", DTYPES[self.dtype]).to(memory_format=torch.channels_last).eval()


def measure(
    network: EarlyExitNetwork,
    *,
    batch_size: int = 1,
    threads: int = 1,
    dtype: str = "float32",
    warmup: int = 5,
    repeats: int = 30,
) -> list[Measurement]:
    """Seconds until each exit of ``network``, for a batch, all exits in one pass.

    A copy is measured; the network stays as it is.
    """
    conditions = Conditions(batch_size, threads, dtype)
    check_number("warmup", warmup, 0)
    check_number("repeats", repeats, 1)
    copied, x = conditions.prepared(network), conditions.inputs(network.input_shape)
    with measuring(threads):
        passes = _passes(copied, x, warmup, repeats)
    return [Measurement(statistics.median(exit), _spread(exit)) for exit in zip(*passes, strict=True)]


def measure_in_turns(
    networks: Sequence[EarlyExitNetwork],
    *,
    batch_size: int = 1,
    threads: int = 1,
    dtype: str = "float32",
    rounds: int = NETWORK_ROUNDS,
    repeats: int = 5,
) -> list[list[Measurement]]:
    """Measure several networks that are to be compared as :func:`measure` does, each in every one of the rounds."""
    conditions = Conditions(batch_size, threads, dtype)
    copies = [(conditions.prepared(network), conditions.inputs(network.input_shape)) for network in networks]
    medians: list[list[list[float]]] = [[] for _ in networks]
    with measuring(threads):
        for _ in range(rounds):
            for network_medians, (copied, x) in zip(medians, copies, strict=True):
                passes = _passes(copied, x, 2, repeats)
                network_medians.append([statistics.median(exit) for exit in zip(*passes, strict=True)])
    return [
        [Measurement(statistics.median(exit), _spread(exit)) for exit in zip(*network_medians, strict=True)]
        for network_medians in medians
    ]


def _passes(network: EarlyExitNetwork, x: Tensor, warmup: int, repeats: int) -> list[list[float]]:
    """Seconds until each exit, of each pass."""
    passes = []
    for repeat in range(warmup + repeats):
        seconds = []
        start = time.perf_counter()
        for _ in network.outputs(x):
            seconds.append(time.perf_counter() - start)
        if repeat >= warmup:
            passes.append(seconds)
    return passes


def _spread(seconds: Sequence[float]) -> float:
    first, third = np.quantile(seconds, [0.25, 0.75])
    return float(third - first)


@contextmanager
def measuring(threads: int) -> Iterator[None]:
    """A context with so many CPU threads and no gradients; the earlier number of threads comes back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    # glibc gives large blocks back to the system, and takes page faults to have them again, until it has seen one that
    # large freed; without this, the same network takes up to half as long again, depending on what ran before it
    torch.empty(31 * 2**20, dtype=torch.uint8).fill_(0)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def machine() -> dict[str, str]:
    """The processor and the versions of what runs on it: latency depends on them beside the conditions."""
    onednn = re.search(r"(?:MKL-DNN|oneDNN) v([\d.]+)", torch.__config__.show())
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "torch": torch.__version__,
        "onednn": onednn[1] if onednn else "none",
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
