"""MobileNetV3 as the Once-for-All network searches it: depth 2 to 4 per stage, kernel 3, 5 or 7, expansion 3, 4 or 6.

Squeeze-excite and activations of each stage are MobileNetV3's (Howard et al., 2019; Cai et al., 2020). EDANAS, NACHOS and
AEBNAS search early exits on it, with ImageNet's strides: ``halvings=5``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from nni_earlyexit.nn.mutables import exit_branch, stage
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.resolution import check_halvings, kept_strides
from nni_earlyexit.utils.checks import check_number
from timm.layers import ConvNormAct, SelectAdaptivePool2d, make_divisible
from timm.models._efficientnet_blocks import DepthwiseSeparableConv
from torch import nn

# channels, stride, activation, squeeze-excite
STAGES = (
    (24, 2, "relu", False),
    (40, 2, "relu", True),
    (80, 2, "hard_swish", False),
    (112, 1, "hard_swish", True),
    (160, 2, "hard_swish", True),
)
KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
DEPTH = (2, 4)
STEM_CHANNELS, STEM_STRIDE = 16, 2
HEAD_CHANNELS = (960, 1280)


class Space(EarlyExitSpace):
    """Blocks per stage, the kernel and expansion of each, and per exit: presence, depth 0 to 3, layers, head.

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

    name = "mobilenetv3"
    examples = ({}, {"resolution": 224, "num_classes": 1000}, {"halvings": 5})

    @classmethod
    def check_resolution(cls, resolution: int, **arguments: Any) -> None:
        """``ValueError`` unless images of this ``resolution`` can be halved so often."""
        check_halvings(resolution, arguments.get("halvings"))

    @classmethod
    def parts(
        cls, resolution: int = 32, num_classes: int = 10, width: float = 1.0, halvings: int | None = None
    ) -> Parts:
        """Stem, five stages, an exit after each of the first four, and MobileNetV3's classifier."""
        check_number("width", width, 0.1)
        halvings = check_halvings(resolution, halvings)
        stem_stride, *strides = kept_strides([STEM_STRIDE, *(stride for _, stride, _, _ in STAGES)], halvings)
        stem_chs = make_divisible(STEM_CHANNELS * width)
        channels = [make_divisible(chs * width) for chs, *_ in STAGES]

        stages: list[nn.Module] = []
        exits = []
        pixels = resolution // stem_stride
        for i, (stride, (_, _, act_layer, squeeze_excite)) in enumerate(zip(strides, STAGES, strict=True)):
            suffix = "_se" if squeeze_excite else ""
            names = [f"mb_k{kernel}_e{expansion}{suffix}" for kernel in KERNELS for expansion in EXPANSIONS]
            in_chs = channels[i - 1] if i else stem_chs
            stages.append(stage(names, in_chs, channels[i], stride, DEPTH, label=f"stage{i}", act_layer=act_layer))
            pixels //= stride
            exits.append(
                partial(
                    exit_branch,
                    channels[i],
                    num_classes,
                    label=f"exit{i}",
                    pool=max(1, pixels // 7),
                    act_layer=act_layer,
                )
            )
        wide, wider = (make_divisible(chs * width) for chs in HEAD_CHANNELS)
        return Parts(
            stem=nn.Sequential(
                ConvNormAct(3, stem_chs, 3, stride=stem_stride, act_layer="hard_swish"),
                DepthwiseSeparableConv(stem_chs, stem_chs),
            ),
            stages=stages,
            exits=exits[:-1],
            head=nn.Sequential(
                ConvNormAct(channels[-1], wide, 1, act_layer="hard_swish"),
                SelectAdaptivePool2d(flatten=True),
                nn.Linear(wide, wider),
                nn.Hardswish(),
                nn.Linear(wider, num_classes),
            ),
            input_shape=(3, resolution, resolution),
            num_classes=num_classes,
        )
