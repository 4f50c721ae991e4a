"""What NNI's profiler needs to know about layers that keep a shape, pool it or rescale it.

Convolutions and linear layers inside timm's blocks are NNI's own business; it only stops at the layers between them.
"""

from __future__ import annotations

from nni.nas.profiler.pytorch import flops
from nni.nas.profiler.pytorch.utils.shape import MutableShape, ShapeTensor
from nni.nas.profiler.pytorch.utils.shape_formula import register_shape_inference_formula
from timm.layers import BatchNormAct2d, SelectAdaptivePool2d
from torch import nn


def _same_shape(module: nn.Module, x: ShapeTensor) -> MutableShape | ShapeTensor:
    # the shape is unknown inside a module that has a formula itself, and not needed there
    return x if x.real_shape is None else x.real_shape


def _pooled_shape(module: SelectAdaptivePool2d, x: ShapeTensor) -> MutableShape:
    channels = x.real_shape[1] * module.feat_mult()
    # timm's flatten is a module or, without flattening, an Identity
    flat = not isinstance(module.flatten, nn.Identity)
    return MutableShape(x.real_shape[0], channels) if flat else MutableShape(x.real_shape[0], channels, 1, 1)


_keep_shape = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.GELU,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Sigmoid,
    BatchNormAct2d,
)

for _layer in _keep_shape:
    register_shape_inference_formula(_layer, _same_shape)
register_shape_inference_formula(SelectAdaptivePool2d, _pooled_shape)

# No MACs in these, and nothing below them: NNI need not warn. (A formula that says 0 would not do: NNI demands the shape
# of every module that has a formula, and timm builds some, such as drop_path, that never run.)
flops._unlisted_types.update((*_keep_shape, SelectAdaptivePool2d, nn.Dropout, nn.Flatten, nn.AdaptiveAvgPool2d))
