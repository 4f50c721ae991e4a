"""Residual networks: timm's BasicBlock and Bottleneck, depth and width searchable.

The width that is searched is that inside each block, as in Once-for-All's ResNet; what goes from block to block keeps the
stage's channels, so that every block fits every other one.
"""

from __future__ import annotations

from functools import partial

from nni_earlyexit.nn.mutables import exit_branch, stage
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.resolution import check_divides, is_small
from nni_earlyexit.utils.checks import check_number
from timm.layers import ClassifierHead, ConvNormAct
from torch import nn

BLOCKS = ("basic_w50", "basic_w100", "bottleneck_w50", "bottleneck_w100", "bottleneck_w200")
DEPTH = (1, 4)
STAGES = 4


class Space(EarlyExitSpace):
    """Blocks per stage (1 to 4), the type and inner width of each, and per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    resolution
        Pixels on a side: a multiple of 32, or, below 96, of 8. Such small images are halved three times, not five.
    num_classes
        Number of classes.
    channels
        Channels of the first stage, a multiple of 8; each further stage has twice as many.
    """

    name = "resnet"
    examples = ({}, {"resolution": 224, "num_classes": 1000})

    @classmethod
    def parts(cls, resolution: int = 32, num_classes: int = 10, channels: int = 64) -> Parts:
        """Stem, four stages, an exit after each of the first three, and the classifier."""
        check_number("channels", channels, 8, multiple_of=8)
        small = is_small(resolution)
        check_divides(resolution, 8 if small else 32)
        widths = [channels * 2**i for i in range(STAGES)]
        pixels = [(resolution if small else resolution // 4) >> i for i in range(STAGES)]
        stem = (
            ConvNormAct(3, channels, 3)
            if small
            else nn.Sequential(ConvNormAct(3, channels, 7, stride=2), nn.MaxPool2d(3, 2, padding=1))
        )
        return Parts(
            stem=stem,
            stages=[
                stage(BLOCKS, widths[max(0, i - 1)], widths[i], 2 if i else 1, DEPTH, label=f"stage{i}")
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
