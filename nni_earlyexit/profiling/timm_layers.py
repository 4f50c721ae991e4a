"""Formulas of timm's layers for NNI's profiler: the shape that comes out, and multiply-accumulates.

Convolutions and linear layers inside timm's blocks are NNI's own business. It stops at the layers between them, which keep
a shape, pool it or rescale it, and it does not see the products inside attention.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from nni.nas.profiler.pytorch import flops
from nni.nas.profiler.pytorch.flops import FlopsResult, register_flops_formula
from nni.nas.profiler.pytorch.utils.misc import profiler_leaf_module
from nni.nas.profiler.pytorch.utils.shape import MutableShape, ShapeTensor
from nni.nas.profiler.pytorch.utils.shape_formula import aten_shape_broadcast, register_shape_inference_formula
from timm.layers import (
    AdaptiveAvgMaxPool2d,
    Attention,
    BatchNormAct2d,
    LayerNorm,
    LayerScale,
    LayerScale2d,
    PatchEmbed,
    SelectAdaptivePool2d,
    get_act_layer,
)
from timm.layers.adaptive_avgmax_pool import AdaptiveCatAvgMaxPool2d, FastAdaptiveAvgPool
from timm.layers.attention2d import MultiQueryAttention2d
from torch import nn

ACTIVATIONS = ("relu", "relu6", "silu", "gelu", "hard_swish", "hard_sigmoid", "sigmoid")


def _same_shape(module: nn.Module, x: ShapeTensor, *args: Any) -> MutableShape | ShapeTensor:
    # the shape is unknown inside a module that has a formula itself, and not needed there
    return x if x.real_shape is None else x.real_shape


def _pooled_shape(module: SelectAdaptivePool2d, x: ShapeTensor) -> MutableShape:
    channels = x.real_shape[1] * module.feat_mult()
    # timm's flatten is a module or, without flattening, an Identity; the fast pools flatten themselves
    flat = not isinstance(module.flatten, nn.Identity) or getattr(module.pool, "flatten", False)
    return MutableShape(x.real_shape[0], channels) if flat else MutableShape(x.real_shape[0], channels, 1, 1)


def _one_pixel(module: AdaptiveAvgMaxPool2d, x: ShapeTensor) -> MutableShape:
    return MutableShape(x.real_shape[0], x.real_shape[1], 1, 1)


def _one_pixel_twice(module: AdaptiveCatAvgMaxPool2d, x: ShapeTensor) -> MutableShape:
    return MutableShape(x.real_shape[0], x.real_shape[1] * 2, 1, 1)


def _patches(module: PatchEmbed, x: ShapeTensor) -> MutableShape:
    return MutableShape(x.real_shape[0], module.num_patches, module.proj.out_channels)


def _vectors(module: nn.Embedding, x: ShapeTensor) -> MutableShape:
    return MutableShape(*x.real_shape, module.embedding_dim)


def _query_attention_shape(module: MultiQueryAttention2d, x: ShapeTensor, *args: Any) -> MutableShape:
    shape = list(x.real_shape)
    shape[1] = _projection(module.output).out_channels
    return MutableShape(*shape)


def _attention(
    module: Attention, x: tuple[MutableShape, ...], y: tuple[MutableShape, ...], count_bias: bool = True
) -> FlopsResult:
    """The linear layers of self attention, and its two products: queries with keys, weights with values."""
    tokens = x[0][1]
    gate = getattr(module, "gate", None)  # which timm has had since 1.0.26
    linear = [layer for layer in (module.qkv, module.proj, gate) if layer is not None]
    macs = sum(tokens * layer.out_features * (layer.in_features + _bias(layer, count_bias)) for layer in linear)
    macs = macs + 2 * tokens * tokens * module.num_heads * module.head_dim
    return FlopsResult(macs, sum(parameter.numel() for parameter in module.parameters()))


def _query_attention(
    module: MultiQueryAttention2d, x: tuple[MutableShape, ...], y: tuple[MutableShape, ...], count_bias: bool = True
) -> FlopsResult:
    """The projections of multi-query attention, which are 1x1 convolutions, and its two products."""
    if module.has_query_strides or module.kv_stride > 1:
        raise NotImplementedError("MultiQueryAttention2d with strides has no formula")
    pixels = x[0][2] * x[0][3]
    layers = [_projection(part) for part in (module.query, module.key, module.value, module.output)]
    macs = sum(pixels * layer.out_channels * (layer.in_channels + _bias(layer, count_bias)) for layer in layers)
    macs = macs + pixels * pixels * module.num_heads * (module.key_dim + module.value_dim)
    return FlopsResult(macs, sum(parameter.numel() for parameter in module.parameters()))


def _projection(part: nn.Module) -> nn.Conv2d:
    """The 1x1 convolution of a part of multi-query attention."""
    return cast(nn.Conv2d, part.proj)


def _bias(layer: nn.Module, count_bias: bool) -> int:
    return int(layer.bias is not None and count_bias)


_keep_shape = {
    nn.Identity,
    BatchNormAct2d,
    LayerNorm,
    LayerScale,
    LayerScale2d,
    *(get_act_layer(name) for name in ACTIVATIONS),
    # classes that timm uses beside torch's, depending on its settings
    *(nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid),
}
_pools = {
    SelectAdaptivePool2d: _pooled_shape,
    AdaptiveAvgMaxPool2d: _one_pixel,
    AdaptiveCatAvgMaxPool2d: _one_pixel_twice,
}

for _layer in _keep_shape:
    register_shape_inference_formula(_layer, _same_shape)
for _layer, _formula in _pools.items():
    register_shape_inference_formula(_layer, _formula)
register_shape_inference_formula(PatchEmbed, _patches)
register_shape_inference_formula(nn.Embedding, _vectors)
register_shape_inference_formula(torch.ops.aten.add_.Tensor, aten_shape_broadcast)  # NNI knows the one out of place
for _layer, _shape, _macs in (
    (Attention, _same_shape, _attention),
    (MultiQueryAttention2d, _query_attention_shape, _query_attention),
):
    profiler_leaf_module(_layer)  # its formulas say all
    register_shape_inference_formula(_layer, _shape)
    register_flops_formula(_layer, _macs)
for _layer in _pools:
    profiler_leaf_module(_layer)

# No MACs in these, and nothing below them: NNI need not warn. (A formula that says 0 would not do: NNI demands the shape
# of every module that has a formula, and timm builds some, such as drop_path, that never run.)
_pooling = (nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, FastAdaptiveAvgPool)
flops._unlisted_types.update((*_keep_shape, *_pools, *_pooling, nn.LayerNorm, nn.Dropout, nn.Flatten, nn.Embedding))
