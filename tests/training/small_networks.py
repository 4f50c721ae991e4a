"""Small networks and data for tests of training."""

from __future__ import annotations

import torch
from nni_earlyexit.data.splits import Data, Split
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.nn.preprocessing import Preprocessing
from torch import nn


def stage(in_chs: int, out_chs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_chs, out_chs, 3, padding=1, bias=False), nn.BatchNorm2d(out_chs), nn.ReLU())


def branch(channels: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))


def network(seed: int = 0) -> EarlyExitNetwork:
    """Three stages of convolutions, an exit after each."""
    torch.manual_seed(seed)
    return EarlyExitNetwork(
        stage(1, 4),
        [stage(4, 4), stage(4, 4), stage(4, 4)],
        [branch(4), branch(4), branch(4)],
        input_shape=(1, 8, 8),
        num_classes=2,
    )


def task(inputs: int = 96, seed: int = 0) -> Data:
    """Images whose brighter half says the class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(inputs) % 2
    x = torch.randn(inputs, 1, 8, 8, generator=generator)
    x[:, :, :4] += (2.0 * y - 1)[:, None, None, None]
    split = Split(x, y)
    return Data("halves", 2, split, split, split, split, Preprocessing((1, 8, 8)))
