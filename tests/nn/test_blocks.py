from __future__ import annotations

import pytest
import torch
from nni_earlyexit.nn import blocks
from timm.layers import ConvNormAct, SqueezeExcite
from timm.models import _efficientnet_blocks as timm_blocks
from timm.models.resnet import BasicBlock, Bottleneck
from torch import nn

IMAGE_BLOCKS = {
    "conv_k3": ConvNormAct,
    "ds_k5": timm_blocks.DepthwiseSeparableConv,
    "ds_k3_se": timm_blocks.DepthwiseSeparableConv,
    "mb_k3_e4": timm_blocks.InvertedResidual,
    "mb_k7_e6_se": timm_blocks.InvertedResidual,
    "fused_k3_e2": timm_blocks.EdgeResidual,
    "uib_s3_m5_e4": timm_blocks.UniversalInvertedResidual,
    "basic_w50": BasicBlock,
    "bottleneck_w200": Bottleneck,
}


@pytest.mark.parametrize("name", IMAGE_BLOCKS)
def test_a_name_means_a_timm_block_with_its_channels_and_stride(name):
    block = blocks.build(name, 16, 32, stride=2, act_layer="hard_swish").eval()
    assert type(block) is IMAGE_BLOCKS[name]
    assert block(torch.zeros(1, 16, 8, 8)).shape == (1, 32, 4, 4)
    squeeze_excite = [m for m in block.modules() if isinstance(m, (SqueezeExcite, timm_blocks.SqueezeExcite))]
    assert bool(squeeze_excite) == name.endswith("_se")
    assert any(isinstance(m, nn.Hardswish) for m in block.modules())


@pytest.mark.parametrize(
    ("name", "inner"), [("basic_w50", 16), ("basic_w100", 32), ("bottleneck_w100", 8), ("bottleneck_w200", 16)]
)
def test_the_width_of_a_residual_block_is_that_inside(name, inner):
    assert blocks.build(name, 32, 32).conv1.out_channels == inner


@pytest.mark.parametrize("name", ["mqa_h4", "attn_h4_r2", "mlp_r2"])
def test_attention_keeps_the_resolution(name):
    with pytest.raises(ValueError, match="cannot have stride 2; it keeps the resolution"):
        blocks.build(name, 16, 16, stride=2)
    x = torch.randn(1, 16, 4, 4) if name == "mqa_h4" else torch.randn(1, 6, 16)
    assert blocks.build(name, 16, 16).eval()(x).shape == x.shape


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("conv", "block: 'conv' is unknown; examples: conv_k3"),
        ("mb_k3", "block: 'mb_k3' is unknown"),
        ("basic_w30", "block: basic_w30 is not possible; a width that divides 100 is"),
    ],
)
def test_what_is_no_block_is_refused(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        blocks.build(name, 16, 16)


def test_a_block_of_ones_own_is_registered_under_a_pattern(monkeypatch):
    monkeypatch.setattr(blocks, "_builders", dict(blocks._builders))

    @blocks.register(r"linear_n(?P<times>\d+)")
    def _linear(in_chs, out_chs, stride, act_layer, *, times):
        return nn.Sequential(*[nn.Conv2d(in_chs, out_chs, 1, stride) for _ in range(times)])

    assert len(blocks.build("linear_n2", 8, 8)) == 2


def test_a_pattern_that_is_registered_again_replaces_the_block_and_says_so(monkeypatch):
    monkeypatch.setattr(blocks, "_builders", dict(blocks._builders))

    def other(in_chs, out_chs, stride, act_layer, *, kernel):
        return nn.Conv2d(in_chs, out_chs, kernel, stride)

    with pytest.warns(UserWarning, match="is replaced"):
        blocks.register(r"conv_k(?P<kernel>\d+)")(other)
    assert isinstance(blocks.build("conv_k3", 4, 4), nn.Conv2d)


def test_a_name_that_two_patterns_fit_is_refused(monkeypatch):
    monkeypatch.setattr(blocks, "_builders", dict(blocks._builders))
    blocks.register(r"conv_k3.*")(lambda *args: nn.Identity())
    with pytest.raises(ValueError, match="'conv_k3' could be any of"):
        blocks.build("conv_k3", 4, 4)
