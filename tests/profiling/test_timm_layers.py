"""NNI's own profiler on spaces of timm layers, without early exits."""

from __future__ import annotations

import logging.handlers

import nni_earlyexit.profiling  # noqa: F401  # what is tested: importing it is enough
import pytest
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace, Repeat
from nni.nas.profiler.pytorch.flops import FlopsProfiler, NumParamsProfiler
from nni_earlyexit.nn import counting
from timm.layers import ClassifierHead, ConvNormAct, LayerNorm, Mlp
from timm.layers.attention import Attention
from timm.layers.attention2d import MultiQueryAttention2d
from timm.models._efficientnet_blocks import EdgeResidual, InvertedResidual, MobileAttention, UniversalInvertedResidual
from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.vision_transformer import Block
from torch import nn

EXACT = {"count_bias": False, "count_normalization": False, "count_activation": False}


class PlainSpace(ModelSpace):
    """Nothing of this package in it."""

    def __init__(self):
        super().__init__()
        self.stem = ConvNormAct(3, 16, 3, stride=2)
        self.blocks = Repeat(
            lambda index: LayerChoice(
                {
                    "mb": InvertedResidual(16, 16, exp_ratio=4.0),
                    "fused": EdgeResidual(16, 16, exp_ratio=2.0),
                    "uib": UniversalInvertedResidual(16, 16, exp_ratio=4.0),
                    "attention": MobileAttention(16, 16, num_heads=2, key_dim=8, value_dim=8, use_multi_query=True),
                    "basic": BasicBlock(16, 16),
                    "bottleneck": Bottleneck(16, 4),
                },
                label=f"block{index}",
            ),
            (1, 3),
            label="depth",
        )
        self.head = LayerChoice(
            {kind: ClassifierHead(16, 10, pool_type=kind) for kind in ("avg", "avgmax", "catavgmax", "fast")},
            label="head",
        )

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)))


def counted(module: nn.Module, x: torch.Tensor) -> int:
    with counting.counter() as counter, torch.no_grad():
        module.eval()(x)
    return counter.get_total_flops() // 2


IMAGE = torch.zeros(1, 3, 32, 32)


@pytest.fixture(scope="module")
def plain_space():
    """The space, what NNI's profiler counts in it, and what it warned of."""
    space, warned = PlainSpace(), logging.handlers.BufferingHandler(1000)
    warned.setLevel(logging.WARNING)
    logging.getLogger().addHandler(warned)
    try:
        return space, FlopsProfiler(space, IMAGE, **EXACT), warned.buffer
    finally:
        logging.getLogger().removeHandler(warned)


def test_nni_is_told_all_that_it_asks_for(plain_space):
    assert plain_space[2] == []


@pytest.mark.parametrize("block", ["mb", "fused", "uib", "attention", "basic", "bottleneck"])
@pytest.mark.parametrize("head", ["avg", "avgmax", "catavgmax", "fast"])
def test_a_space_of_timm_blocks_is_counted_as_torch_counts_it(plain_space, block, head):
    space, macs, _ = plain_space
    sample = {"depth": 2, "block0": block, "block1": block, "block2": "mb", "head": head}
    assert macs.profile(sample) == counted(space.freeze(sample), IMAGE)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Attention(24, num_heads=3, qkv_bias=True), (10, 24)),
        (Block(24, num_heads=2, mlp_ratio=3.0, init_values=1e-5), (10, 24)),
        (Mlp(24, 48), (10, 24)),
        (nn.Sequential(LayerNorm(24), nn.Linear(24, 5)), (10, 24)),
        (MultiQueryAttention2d(24, num_heads=3, key_dim=8, value_dim=4), (24, 6, 6)),
    ],
    ids=["attention", "block", "mlp", "norm", "multi-query"],
)
def test_attention_counts_its_products_and_its_parameters(layer, shape):
    class Space(ModelSpace):
        def __init__(self):
            super().__init__()
            self.layer = LayerChoice([layer, nn.Identity()], label="layer")

        def forward(self, x):
            return self.layer(x)

    x = torch.zeros(1, *shape)
    assert FlopsProfiler(Space(), x, **EXACT).profile({"layer": 0}) == counted(layer, x)
    assert FlopsProfiler(Space(), x, **EXACT).profile({"layer": 1}) == 0
    if isinstance(layer, Attention):
        counted_params = NumParamsProfiler(Space(), x, **EXACT).profile({"layer": 0})
        assert counted_params == sum(parameter.numel() for parameter in layer.parameters())


def test_multi_query_attention_with_strides_is_refused_rather_than_miscounted():
    layer = MultiQueryAttention2d(24, num_heads=3, key_dim=8, kv_stride=2)

    class Space(ModelSpace):
        def __init__(self):
            super().__init__()
            self.layer = LayerChoice([layer, nn.Identity()], label="layer")

        def forward(self, x):
            return self.layer(x)

    with pytest.raises(NotImplementedError, match="MultiQueryAttention2d with strides has no formula"):
        FlopsProfiler(Space(), torch.zeros(1, 24, 6, 6), **EXACT)
