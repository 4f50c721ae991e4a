"""Logits of every exit for many inputs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from nni_earlyexit.nn.inference import inference
from nni_earlyexit.nn.layout import in_channels_last
from nni_earlyexit.nn.network import EarlyExitNetwork
from numpy.typing import NDArray
from torch import Tensor


def exit_logits(network: EarlyExitNetwork, x: Tensor | Iterable[Tensor], batch_size: int = 512) -> NDArray[np.float32]:
    """Logits (inputs, exits, classes) of every exit for inputs ``x``, given at once or in parts."""
    device = next(network.parameters()).device
    parts = x.split(batch_size) if isinstance(x, Tensor) else x
    with inference(in_channels_last(network)):
        logits = [torch.stack(network(part.to(device)), dim=1).float().cpu() for part in parts]
    return torch.cat(logits).numpy()
