"""The segments of a network: what runs from one exit to the next, with that exit's branch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nni_earlyexit.deploy.folding import folded
from nni_earlyexit.nn.inference import example
from nni_earlyexit.nn.layout import in_channels_last
from nni_earlyexit.nn.network import EarlyExitNetwork
from numpy.typing import NDArray
from torch import Tensor, nn


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


def fast_segments(network: EarlyExitNetwork, device: torch.device) -> list[Segment]:
    """The segments of ``network`` as they compute fastest: normalisations folded, channels last, on ``device``."""
    x = example(network.input_shape, batch_size=2)
    segments = []
    for segment in segments_of(network):
        own = segment.to("cpu")
        with torch.no_grad():
            after = own.body(x)
        body, branch = folded(own.body, x), folded(own.branch, after)
        segments.append(in_channels_last(Segment(body, branch, last=own.last).eval().to(device)))
        x = after
    return segments


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
    """

    def __init__(self, network: EarlyExitNetwork, device: torch.device, *, bfloat16: bool = False) -> None:
        self._segments = fast_segments(network, device)
        self._device, self._bfloat16 = device, bfloat16

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self._segments)

    def begin(self, x: NDArray[Any]) -> Tensor:
        """The batch on the device."""
        batch = torch.from_numpy(x).to(self._device)
        return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch

    def run(self, segment: int, x: Tensor, *, with_exit: bool) -> tuple[Tensor, NDArray[np.float32] | None]:
        """The output of a segment, and its exit's logits if ``with_exit``."""
        own = self._segments[segment]
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            x = own.body(x)
            return x, own.branch(x).float().cpu().numpy() if with_exit else None

    def take(self, x: Tensor, inputs: NDArray[np.intp]) -> Tensor:
        """Some inputs of a batch."""
        with torch.inference_mode():
            return x[torch.from_numpy(inputs).to(self._device)]
