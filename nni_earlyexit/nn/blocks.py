"""Named timm blocks: the candidates of a layer choice.

A name such as ``mb_k3_e4_se`` says everything: the timm block and its arguments. A name means the same in a backbone, in
an exit branch, in NNI's web UI and in a saved result.

| name         | example           | timm block                    | arguments                                          |
| ------------ | ----------------- | ----------------------------- | -------------------------------------------------- |
| `conv`       | `conv_k3`         | `ConvNormAct`                 | kernel                                             |
| `ds`         | `ds_k5_se`        | `DepthwiseSeparableConv`      | kernel, squeeze-excite                             |
| `mb`         | `mb_k3_e4_se`     | `InvertedResidual`            | kernel, expansion, squeeze-excite                  |
| `fused`      | `fused_k3_e2`     | `EdgeResidual`                | kernel, expansion, squeeze-excite                  |
| `uib`        | `uib_s3_m5_e4`    | `UniversalInvertedResidual`   | kernels at start and middle (0: none), expansion   |
| `mqa`        | `mqa_h4`          | `MobileAttention`             | heads; multi-query, stride 1 only                  |
| `basic`      | `basic_w50`       | `BasicBlock`                  | inner width in percent of the usual one            |
| `bottleneck` | `bottleneck_w100` | `Bottleneck`                  | inner width in percent of the usual one            |
| `attn`       | `attn_h4_r2_pad`  | `Block` of vision transformer | heads, MLP ratio; tokens only, which may be padded |
| `mlp`        | `mlp_r2_pad`      | `Mlp`                         | ratio; normalised and residual, as in `attn`       |
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from nni_earlyexit.nn.tokens import PaddedAttention, PaddedMlp, TokenMlp
from timm.layers import ConvNormAct, create_conv2d, get_act_layer, make_divisible
from timm.models._efficientnet_blocks import (
    DepthwiseSeparableConv,
    EdgeResidual,
    InvertedResidual,
    MobileAttention,
    SqueezeExcite,
    UniversalInvertedResidual,
)
from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.vision_transformer import Block
from torch import nn

Builder = Callable[..., nn.Module]

EXAMPLES = "conv_k3, ds_k5, mb_k3_e4_se, basic_w100, attn_h4_r2"
"""Some names, for messages."""


class _Known(NamedTuple):
    """A block: the function that builds it, and the sort of its inputs if it was said."""

    build: Builder
    takes: str | None


_builders: dict[str, _Known] = {}
"""Blocks by the pattern of their names."""


def register(pattern: str, takes: str | None = None) -> Callable[[Builder], Builder]:
    """Make a block known: ``pattern`` is a regular expression whose named groups are integers and become arguments.

    The decorated function takes ``in_chs, out_chs, stride, act_layer`` and those arguments by name (``None`` for a group
    that did not take part) and returns the block. The same pattern again replaces the block, with a warning. ``takes`` says
    what goes in, ``"images"`` (batch, channels, height, width) or ``"tokens"`` (batch, tokens, channels), so that an exit of
    the other sort refuses the block in one sentence.
    """

    def add(builder: Builder) -> Builder:
        if pattern in _builders:
            warnings.warn(f"block: what is built for {pattern!r} is replaced", stacklevel=2)
        _builders[pattern] = _Known(builder, takes)
        return builder

    return add


def build(name: str, in_chs: int, out_chs: int, stride: int = 1, act_layer: str = "relu") -> nn.Module:
    """Build the block called ``name``; ``act_layer`` is timm's name of an activation.

    Raises ``ValueError`` for a name that is unknown, or that two patterns fit, and for an even kernel, which would change the
    resolution.
    """
    fitting = _fitting(name)
    if len(fitting) > 1:
        raise ValueError(
            f"block: {name!r} could be any of {', '.join(map(repr, fitting))}; register patterns that differ"
        )
    for pattern, match in fitting.items():
        arguments = {key: _number(text) for key, text in match.groupdict().items()}
        for key in ("kernel", "start", "middle"):
            kernel = arguments.get(key, 1)
            if kernel is not None and kernel % 2 == 0 and (kernel or key == "kernel"):
                raise ValueError(f"block: {name} is not possible; an odd kernel, such as 3, is")
        return _builders[pattern].build(in_chs, out_chs, stride, get_act_layer(act_layer), **arguments)
    raise ValueError(f"block: {name!r} is unknown; examples: {EXAMPLES}")


def is_block(name: str) -> bool:
    """``True`` if there is a block called ``name``."""
    return bool(_fitting(name))


def takes(name: str) -> str | None:
    """The sort of inputs, ``"images"`` or ``"tokens"``, of the block called ``name``; ``None`` where nobody has said."""
    return next((_builders[pattern].takes for pattern in _fitting(name)), None)


def _fitting(name: str) -> dict[str, re.Match[str]]:
    """The patterns that ``name`` fits."""
    return {pattern: match for pattern in _builders if (match := re.fullmatch(pattern, name))}


def _number(text: str | None) -> int | bool | None:
    return int(text) if text is not None and text.isdigit() else text is not None


# as in MobileNetV3; the same in every block, so that "_se" means one thing
_squeeze_excite: Any = partial(
    SqueezeExcite, gate_layer="hard_sigmoid", force_act_layer=nn.ReLU, rd_round_fn=partial(make_divisible, divisor=8)
)


@register(r"conv_k(?P<kernel>\d+)", takes="images")
def _conv(in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, kernel: int) -> nn.Module:
    return ConvNormAct(in_chs, out_chs, kernel_size=kernel, stride=stride, act_layer=act_layer)


@register(r"ds_k(?P<kernel>\d+)(?P<se>_se)?", takes="images")
def _ds(in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, kernel: int, se: bool) -> nn.Module:
    return DepthwiseSeparableConv(
        in_chs,
        out_chs,
        dw_kernel_size=kernel,
        stride=stride,
        act_layer=act_layer,
        se_layer=_squeeze_excite if se else None,
    )


@register(r"mb_k(?P<kernel>\d+)_e(?P<expansion>\d+)(?P<se>_se)?", takes="images")
def _mb(
    in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, kernel: int, expansion: int, se: bool
) -> nn.Module:
    return InvertedResidual(
        in_chs,
        out_chs,
        dw_kernel_size=kernel,
        stride=stride,
        exp_ratio=float(expansion),
        act_layer=act_layer,
        se_layer=_squeeze_excite if se else None,
    )


@register(r"fused_k(?P<kernel>\d+)_e(?P<expansion>\d+)(?P<se>_se)?", takes="images")
def _fused(
    in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, kernel: int, expansion: int, se: bool
) -> nn.Module:
    return EdgeResidual(
        in_chs,
        out_chs,
        exp_kernel_size=kernel,
        stride=stride,
        exp_ratio=float(expansion),
        act_layer=act_layer,
        se_layer=_squeeze_excite if se else None,
    )


@register(r"uib_s(?P<start>\d+)_m(?P<middle>\d+)_e(?P<expansion>\d+)", takes="images")
def _uib(
    in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, start: int, middle: int, expansion: int
) -> nn.Module:
    return UniversalInvertedResidual(
        in_chs,
        out_chs,
        dw_kernel_size_start=start,
        dw_kernel_size_mid=middle,
        stride=stride,
        exp_ratio=float(expansion),
        act_layer=act_layer,
        layer_scale_init_value=None,
    )


@register(r"mqa_h(?P<heads>\d+)", takes="images")
def _mqa(in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, heads: int) -> nn.Module:
    _only_stride_1("mqa", stride)
    key_dim = max(16, out_chs // heads // 2)
    return MobileAttention(
        in_chs,
        out_chs,
        num_heads=heads,
        key_dim=key_dim,
        value_dim=key_dim,
        use_multi_query=True,
        act_layer=act_layer,
        layer_scale_init_value=None,
    )


@register(r"basic_w(?P<width>\d+)", takes="images")
def _basic(in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, width: int) -> nn.Module:
    if 100 % width:
        raise ValueError(f"block: basic_w{width} is not possible; a width that divides 100 is, such as basic_w50")
    return BasicBlock(
        in_chs,
        out_chs,
        stride=stride,
        downsample=_downsample(in_chs, out_chs, stride),
        reduce_first=100 // width,
        act_layer=act_layer,
    )


@register(r"bottleneck_w(?P<width>\d+)", takes="images")
def _bottleneck(in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, width: int) -> nn.Module:
    return Bottleneck(
        in_chs,
        out_chs // Bottleneck.expansion,
        stride=stride,
        downsample=_downsample(in_chs, out_chs, stride),
        base_width=64 * width // 100,
        act_layer=act_layer,
    )


def _downsample(in_chs: int, out_chs: int, stride: int) -> nn.Module | None:
    """The shortcut of a ResNet block that changes shape, as ``timm.models.resnet.downsample_conv``."""
    if stride == 1 and in_chs == out_chs:
        return None
    return nn.Sequential(create_conv2d(in_chs, out_chs, 1, stride=stride), nn.BatchNorm2d(out_chs))


@register(r"attn_h(?P<heads>\d+)_r(?P<ratio>\d+)(?P<pad>_pad)?", takes="tokens")
def _attn(
    in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, heads: int, ratio: int, pad: bool
) -> nn.Module:
    _only_stride_1("attn", stride)
    block = Block(in_chs, heads, mlp_ratio=float(ratio), qkv_bias=True)
    return PaddedAttention(block) if pad else block


@register(r"mlp_r(?P<ratio>\d+)(?P<pad>_pad)?", takes="tokens")
def _mlp(in_chs: int, out_chs: int, stride: int, act_layer: type[nn.Module], *, ratio: int, pad: bool) -> nn.Module:
    _only_stride_1("mlp", stride)
    block = TokenMlp(in_chs, ratio)
    return PaddedMlp(block) if pad else block


def _only_stride_1(name: str, stride: int) -> None:
    if stride != 1:
        raise ValueError(f"block: {name} cannot have stride {stride}; it keeps the resolution")
