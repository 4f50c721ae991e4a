"""Statistics of batch normalisations, estimated again: those of a supernet are a mixture of all of its networks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from nni_earlyexit.nn.network import EarlyExitNetwork
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


def estimate_statistics(network: EarlyExitNetwork, batches: Iterable[Tensor]) -> None:
    """Estimate the running statistics of ``network`` as the mean over ``batches`` of inputs; it is in evaluation mode then.

    Those of a frozen backbone stay.
    """
    network.train()
    normalisations = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and module.training
    ]
    momenta = [module.momentum for module in normalisations]
    network.eval()
    for module in normalisations:
        module.reset_running_stats()
        module.momentum = None  # the mean over all batches
        module.train()
    try:
        with torch.no_grad():
            device = next(network.parameters()).device
            for x in batches:
                network(x.to(device))
    finally:
        for module, momentum in zip(normalisations, momenta, strict=True):
            module.momentum = momentum
        network.eval()
