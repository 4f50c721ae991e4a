"""Weights of one network of a space, taken from a supernet of the space, and statistics that fit them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from nni.nas.nn.pytorch import Repeat
from nni_earlyexit.data.splits import Data
from nni_earlyexit.nn.inference import best_device
from nni_earlyexit.nn.layout import in_channels_last
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.space.oneshot import SampledExit
from nni_earlyexit.supernet.elastic import ElasticLayer
from nni_earlyexit.supernet.statistics import estimate_statistics
from torch import Tensor, nn

STATISTICS = 1024
"""Training inputs on which the statistics of a network that inherits are estimated."""
BATCH = 128


def inherit(network: EarlyExitNetwork, supernet: nn.Module, sample: Mapping[str, Any] | None = None) -> None:
    """Give ``network``, one of the space of ``supernet``, the weights that it has there.

    What a supernet's running statistics are, is those of no network in it: they must be estimated again. ``sample`` is the
    network's in the supernet's space, where that is another than its own.

    Raises ``ValueError`` for a network without a sample and one of another space.
    """
    if sample is None:
        sample = network.sample
    if sample is None:
        raise ValueError("network: it has no sample, so that its place in the supernet is not known")
    with torch.no_grad():
        _take(network, supernet, sample)


def take_weights(
    network: EarlyExitNetwork,
    supernet: nn.Module,
    data: Data,
    inputs: int = STATISTICS,
    *,
    sample: Mapping[str, Any] | None = None,
) -> None:
    """Let ``network`` :func:`inherit`, and estimate its statistics on so many training ``inputs``, on a GPU if there is one."""
    inherit(network, supernet, sample)
    in_channels_last(network).to(best_device())
    estimate_statistics(network, some_inputs(data, inputs))


def some_inputs(data: Data, inputs: int = STATISTICS) -> Iterator[Tensor]:
    """Batches of some training inputs, each at equal distances over all of them."""
    places = np.unique(np.linspace(0, len(data.train) - 1, min(inputs, len(data.train))).round().astype(int))
    count = math.ceil(len(places) / BATCH)
    for first in range(count):  # every so many of them: images in folders are in the order of their classes
        yield data.train.prepared(places[first::count])


def _take(own: nn.Module, theirs: nn.Module, sample: Mapping[str, Any]) -> None:
    if isinstance(theirs, ElasticLayer):
        _, tensors = theirs.layer(sample[theirs.choice.label])
        _copy({**dict(own.named_parameters()), **dict(own.named_buffers())}, tensors)
    elif isinstance(theirs, SampledExit):
        _take(own, theirs.branch, sample)
    elif isinstance(theirs, Repeat):
        for block, other in zip(own.children(), theirs.blocks, strict=False):  # the first ones, as many as it has
            _take(block, other, sample)
    else:
        _copy(_direct(own), _direct(theirs))
        others = dict(theirs.named_children())
        for name, child in own.named_children():
            if name not in others:
                raise ValueError(f"weights: the supernet has no {name!r}; is it one of another space?")
            _take(child, others[name], sample)


def _direct(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of ``module`` itself."""
    return {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}


def _copy(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    for name, tensor in own.items():
        if name not in theirs or theirs[name].shape != tensor.shape:
            raise ValueError(
                f"weights: the supernet has no {name!r} of shape {tuple(tensor.shape)}; is it of another space?"
            )
        tensor.copy_(theirs[name])
