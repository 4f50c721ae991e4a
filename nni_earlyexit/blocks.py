"""Named timm blocks: what a layer choice chooses from.

A name such as ``mb_k3_e4`` says everything: the timm block, its kernel (k) and its expansion (e). A name means the same
in a backbone, in an exit branch, in NNI's web UI and in a saved result.
"""

from __future__ import annotations

import re

from timm.layers import ConvNormAct
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, EdgeResidual, InvertedResidual
from torch import nn

_name = re.compile(r"(conv|ds)_k(\d+)|(mb|fused)_k(\d+)_e(\d+)")


def build(name: str, in_chs: int, out_chs: int, stride: int = 1) -> nn.Module:
    """Build the block called ``name``.

    ========== ============================= =========================================
    name       example                       timm block
    ========== ============================= =========================================
    ``conv``   ``conv_k3``                   ``ConvNormAct``
    ``ds``     ``ds_k5``                     ``DepthwiseSeparableConv``
    ``mb``     ``mb_k3_e4``                  ``InvertedResidual``
    ``fused``  ``fused_k3_e2``               ``EdgeResidual``
    ========== ============================= =========================================
    """
    match = _name.fullmatch(name)
    if match is None:
        raise ValueError(f"block: {name!r} is unknown; examples: conv_k3, ds_k5, mb_k3_e4, fused_k3_e2")
    plain, plain_kernel, expanding, kernel, expansion = match.groups()
    if plain == "conv":
        return ConvNormAct(in_chs, out_chs, kernel_size=int(plain_kernel), stride=stride)
    if plain == "ds":
        return DepthwiseSeparableConv(in_chs, out_chs, dw_kernel_size=int(plain_kernel), stride=stride)
    if expanding == "mb":
        return InvertedResidual(in_chs, out_chs, dw_kernel_size=int(kernel), stride=stride, exp_ratio=float(expansion))
    return EdgeResidual(in_chs, out_chs, exp_kernel_size=int(kernel), stride=stride, exp_ratio=float(expansion))
