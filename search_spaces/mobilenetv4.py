"""MobileNetV4: universal inverted residuals after fused ones, with multi-query attention in the late stages.

The five kinds of a universal inverted residual (Qin et al., 2024) are choices of two kernels: at the start and in the
middle (extra depthwise), only in the middle (inverted bottleneck), only at the start (as ConvNeXt), or none (feed forward).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from nni_earlyexit.nn.mutables import exit_branch, stage
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.resolution import check_halvings, kept_strides
from nni_earlyexit.utils.checks import check_number
from timm.layers import ConvNormAct, SelectAdaptivePool2d, make_divisible
from torch import nn

FUSED = ("fused_k3_e2", "fused_k3_e4", "fused_k5_e2", "conv_k3")
STRIDED = ("uib_s3_m3_e4", "uib_s5_m3_e4", "uib_s0_m3_e4", "uib_s0_m5_e2", "uib_s3_m0_e4")
UNIVERSAL = (*STRIDED, "uib_s0_m0_e4")
ATTENTION = (*UNIVERSAL, "mqa_h4", "mqa_h8")

# channels, blocks of the first place, of the other places, blocks
STAGES = (
    (48, FUSED, FUSED, (1, 2)),
    (80, STRIDED, UNIVERSAL, (1, 4)),
    (160, STRIDED, ATTENTION, (2, 5)),
    (256, STRIDED, ATTENTION, (2, 5)),
)
STEM_CHANNELS = 32
HEAD_CHANNELS = (960, 1280)


class Space(EarlyExitSpace):
    """Blocks per stage, which one at each place, and per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    resolution
        Pixels on a side, which can be halved so often.
    num_classes
        Number of classes.
    width
        Factor on the channels of all stages.
    halvings
        How often images are halved, 1 to 5: by default 3 times below 96 pixels, else 5 times, as on ImageNet. Those that are
        left out are the first ones.
    """

    name = "mobilenetv4"
    examples = ({}, {"resolution": 224, "num_classes": 1000})

    @classmethod
    def check_resolution(cls, resolution: int, **arguments: Any) -> None:
        """``ValueError`` unless images of this ``resolution`` can be halved so often."""
        check_halvings(resolution, arguments.get("halvings"))

    @classmethod
    def parts(
        cls, resolution: int = 32, num_classes: int = 10, width: float = 1.0, halvings: int | None = None
    ) -> Parts:
        """Stem, four stages, an exit after each of the first three, and MobileNetV4's classifier."""
        check_number("width", width, 0.1)
        halvings = check_halvings(resolution, halvings)
        stem_stride, *strides = kept_strides([2] * (1 + len(STAGES)), halvings)
        channels = [make_divisible(chs * width) for chs in (STEM_CHANNELS, *(chs for chs, *_ in STAGES))]
        pixels = resolution // stem_stride
        stages: list[nn.Module] = []
        exits = []
        for i, (_, first, names, depth) in enumerate(STAGES):
            chs = channels[i + 1]
            stages.append(stage(names, channels[i], chs, strides[i], depth, label=f"stage{i}", first=first))
            pixels //= strides[i]
            exits.append(partial(exit_branch, chs, num_classes, label=f"exit{i}", pool=max(1, pixels // 7)))
        wide, wider = (make_divisible(chs * width) for chs in HEAD_CHANNELS)
        return Parts(
            stem=ConvNormAct(3, channels[0], 3, stride=stem_stride),
            stages=stages,
            exits=exits[:-1],
            head=nn.Sequential(
                ConvNormAct(channels[-1], wide, 1),
                SelectAdaptivePool2d(flatten=True),
                nn.Linear(wide, wider),
                nn.ReLU(),
                nn.Linear(wider, num_classes),
            ),
            input_shape=(3, resolution, resolution),
            num_classes=num_classes,
        )
