"""Residual networks: timm's BasicBlock and Bottleneck, depth and width searchable.

The width that is searched is that inside each block, as in Once-for-All's ResNet; what goes from block to block keeps the
stage's channels, so that every block fits every other one.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from nni_earlyexit.nn.mutables import exit_branch, stage
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.resolution import check_halvings, kept_strides
from nni_earlyexit.utils.checks import check_number
from timm.layers import ClassifierHead, ConvNormAct
from torch import nn

BLOCKS = ("basic_w50", "basic_w100", "bottleneck_w50", "bottleneck_w100", "bottleneck_w200")
DEPTH = (1, 4)
STAGES = 4
STRIDES = (2, 2, 1, 2, 2, 2)  # of the stem's pooling, the stem's convolution and the stages


class Space(EarlyExitSpace):
    """Blocks per stage (1 to 4), the type and inner width of each, and per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    resolution
        Pixels on a side, which can be halved so often.
    num_classes
        Number of classes.
    channels
        Channels of the first stage, a multiple of 8; each further stage has twice as many.
    halvings
        How often images are halved, 1 to 5: by default 3 times below 96 pixels, else 5 times, as on ImageNet. Those that are
        left out are the first ones.
    """

    name = "resnet"
    examples = ({}, {"resolution": 224, "num_classes": 1000})

    @classmethod
    def check_resolution(cls, resolution: int, **arguments: Any) -> None:
        """``ValueError`` unless images of this ``resolution`` can be halved so often."""
        check_halvings(resolution, arguments.get("halvings"))

    @classmethod
    def parts(
        cls, resolution: int = 32, num_classes: int = 10, channels: int = 64, halvings: int | None = None
    ) -> Parts:
        """Stem, four stages, an exit after each of the first three, and the classifier."""
        check_number("channels", channels, 8, multiple_of=8)
        halvings = check_halvings(resolution, halvings)
        first, second, *strides = kept_strides(STRIDES, halvings)
        widths = [channels * 2**i for i in range(STAGES)]
        pixels = [resolution // math.prod((first, second, *strides[: i + 1])) for i in range(STAGES)]
        stem: nn.Module = ConvNormAct(3, channels, 3 if second == 1 else 7, stride=second)
        if first == 2:
            stem = nn.Sequential(stem, nn.MaxPool2d(3, 2, padding=1))
        return Parts(
            stem=stem,
            stages=[
                stage(BLOCKS, widths[max(0, i - 1)], widths[i], strides[i], DEPTH, label=f"stage{i}")
                for i in range(STAGES)
            ],
            exits=[
                partial(exit_branch, widths[i], num_classes, label=f"exit{i}", pool=max(1, pixels[i] // 7))
                for i in range(STAGES - 1)
            ],
            head=ClassifierHead(widths[-1], num_classes),
            input_shape=(3, resolution, resolution),
            num_classes=num_classes,
        )
