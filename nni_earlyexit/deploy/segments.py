"""The segments of a network: what runs from one exit to the next, with that exit's branch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from nni_earlyexit.deploy.folding import folded
from nni_earlyexit.nn.inference import example
from nni_earlyexit.nn.layout import in_channels_last
from nni_earlyexit.nn.network import EarlyExitNetwork
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import ExportedProgram


class Normalise(nn.Module):
    """Subtracts the mean per channel and divides by the standard deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], dimensions: int) -> None:
        super().__init__()
        shape = (1, -1, *[1] * (dimensions - 1))
        self.register_buffer("mean", torch.tensor(mean).view(shape))
        self.register_buffer("std", torch.tensor(std).view(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Of a batch as float32, images from 0 to 1, the batch as the network takes it."""
        return (x - self.mean) / self.std


class Segment(nn.Module):
    """The layers from one exit to the next, and that exit's branch; the last one gives logits only."""

    def __init__(self, body: nn.Module, branch: nn.Module, *, last: bool) -> None:
        super().__init__()
        self.body, self.branch, self.last = body, branch, last

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The output before the branch, but for the last segment, and the logits."""
        x = self.body(x)
        return (self.branch(x),) if self.last else (x, self.branch(x))


def segments_of(network: EarlyExitNetwork) -> list[Segment]:
    """The segments of ``network``, which share its weights; the first one normalises."""
    if network.preprocessing is None:
        raise ValueError("network: it does not say how its inputs are prepared; train it here first")
    preprocessing = network.preprocessing
    body: list[nn.Module] = []
    if preprocessing.mean is not None and preprocessing.std is not None:
        body.append(Normalise(preprocessing.mean, preprocessing.std, len(preprocessing.input_shape)))
    body.append(network.stem)
    segments = []
    for stage, blocks in enumerate(network.stages):
        body.append(blocks)
        if stage in network.exit_stages:
            last = stage == network.exit_stages[-1]
            segments.append(Segment(nn.Sequential(*body), network.exits[str(stage)], last=last).eval())
            body = []
    return segments


def segments_with_inputs(network: EarlyExitNetwork, device: torch.device) -> Iterator[tuple[Segment, Tensor]]:
    """The segments of ``network``, moved to ``device``, each with two inputs as it takes them, in usual order in memory."""
    preprocessing = network.preprocessing
    x = example(network.input_shape, batch_size=2, device=device)
    x = x if preprocessing is not None and preprocessing.mean is None else x.float()
    for segment in segments_of(network):
        own = segment.to(device).to(memory_format=torch.contiguous_format)
        yield own, x
        with torch.no_grad():
            x = own.body(x)


def exported_segments(network: EarlyExitNetwork) -> list[ExportedProgram]:
    """The segments of ``network`` as programs of ``torch.export`` for any number of inputs, on the device that it is on.

    The first takes (inputs, *input shape), float32 images from 0 to 1 or int64 tokens, and each further one what the one before
    gives. Each gives its output, which is for the next, and its exit's logits (inputs, classes); the last gives logits alone.
    Raises ``ValueError`` for a network that does not say how its inputs are prepared.
    """
    device, batch = next(network.parameters()).device, torch.export.Dim("batch")
    return [
        torch.export.export(segment, (x,), dynamic_shapes=({0: batch},))
        for segment, x in segments_with_inputs(network, device)
    ]


def fast_segments(network: EarlyExitNetwork, device: torch.device) -> list[Segment]:
    """The segments of ``network`` as they compute fastest: normalisations folded, channels last, on ``device``."""
    segments = []
    for segment, x in segments_with_inputs(copy.deepcopy(network), torch.device("cpu")):
        with torch.no_grad():
            after = segment.body(x)
        body, branch = folded(segment.body, x), folded(segment.branch, after)
        segments.append(in_channels_last(Segment(body, branch, last=segment.last).eval().to(device)))
    return segments


def _compiled(module: nn.Module, name: str) -> Callable[[Tensor], Tensor]:
    """``module`` compiled, for any number of inputs, when it is first called."""

    def forward(x: Tensor) -> Tensor:
        y: Tensor = module(x)
        return y

    # PyTorch keeps few variants per code object, and gives up beyond: so each part gets a code object of its own
    forward.__code__ = forward.__code__.replace(co_name=name)
    return torch.compile(forward, dynamic=True)


class TorchSegments:
    """The segments of a network in PyTorch, with weights of their own.

    Parameters
    ----------
    network
        The network, whose preprocessing is known.
    device
        Where it computes.
    bfloat16
        ``True`` computes in bfloat16 where PyTorch's autocast does.
    compiled
        ``True`` compiles each segment, and its branch, when it first runs.
    """

    def __init__(
        self, network: EarlyExitNetwork, device: torch.device, *, bfloat16: bool = False, compiled: bool = False
    ) -> None:
        segments = fast_segments(network, device)
        self._bodies: list[Callable[[Tensor], Tensor]] = [segment.body for segment in segments]
        self._branches: list[Callable[[Tensor], Tensor]] = [segment.branch for segment in segments]
        if compiled:
            self._bodies = [_compiled(own.body, f"body{k}") for k, own in enumerate(segments)]
            self._branches = [_compiled(own.branch, f"branch{k}") for k, own in enumerate(segments)]
        self._device, self._bfloat16 = device, bfloat16

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self._bodies)

    def begin(self, x: NDArray[Any]) -> Tensor:
        """The batch on the device."""
        batch = torch.from_numpy(x).to(self._device)
        return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch

    def run(self, segment: int, x: Tensor, *, with_exit: bool) -> tuple[Tensor, NDArray[np.float32] | None]:
        """The output of a segment, and its exit's logits if ``with_exit``."""
        # entering autocast takes microseconds even where it does nothing
        numbers = torch.autocast(self._device.type, torch.bfloat16) if self._bfloat16 else nullcontext()
        with torch.inference_mode(), numbers:
            x = self._bodies[segment](x)
            return x, self._branches[segment](x).float().cpu().numpy() if with_exit else None

    def take(self, x: Tensor, inputs: NDArray[np.intp]) -> Tensor:
        """Some inputs of a batch."""
        with torch.inference_mode():
            return x[torch.from_numpy(inputs).to(self._device)]
