"""Normalisation folded into the convolutions before it: nothing changes but the time, most of all where maps are large."""

from __future__ import annotations

import copy

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CLOSE = 1e-4
"""Largest difference, as a share of the largest output, that folding may make."""


class _Activation(nn.Module):
    """The part of timm's normalisation that is left: the activation after it."""

    def __init__(self, norm: BatchNormAct2d) -> None:
        super().__init__()
        self.act = norm.act

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(x)
        return y


def folded(module: nn.Module, x: Tensor) -> nn.Module:
    """A copy of ``module``, in evaluation mode, whose batch normalisations are part of the convolutions before them.

    What follows what is seen by running it for a batch like ``x``. Where the folded one would give something else, the copy
    is as the module is.
    """
    copied = copy.deepcopy(module).eval()
    x = _varied(x)
    pairs = _pairs(copied, x)
    for conv_name, norm_name in pairs.items():
        conv, norm = copied.get_submodule(conv_name), copied.get_submodule(norm_name)
        if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            raise AssertionError("pairs are of these")
        copied.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        copied.set_submodule(norm_name, _Activation(norm) if isinstance(norm, BatchNormAct2d) else nn.Identity())
    with torch.no_grad():
        before, after = module(x), copied(x)
    before, after = ((y,) if isinstance(y, Tensor) else y for y in (before, after))
    same = all((a - b).abs().max() <= CLOSE * (a.abs().max() + 1e-6) for a, b in zip(before, after, strict=True))
    return copied if same else copy.deepcopy(module)


def _varied(x: Tensor) -> Tensor:
    """Random inputs like ``x``, the same every time; token ids stay."""
    return torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1 if x.is_floating_point() else x


def _pairs(module: nn.Module, x: Tensor) -> dict[str, str]:
    """The name of each convolution whose output goes into a batch normalisation, with the name of that."""
    outputs: dict[
        int, tuple[str, Tensor, int]
    ] = {}  # with the tensor, so that no other one gets its number, and its version
    pairs: dict[str, str] = {}
    uses: dict[str, int] = {}
    hooks = []
    for name, child in module.named_modules():
        if isinstance(child, nn.Conv2d):

            def came_out(_: nn.Module, __: object, y: Tensor, name: str = name) -> None:
                outputs[id(y)] = (name, y, y._version)
                uses[name] = uses.get(name, 0) + 1

            hooks.append(child.register_forward_hook(came_out))
        elif isinstance(child, nn.BatchNorm2d):

            def goes_in(_: nn.Module, args: tuple[Tensor, ...], name: str = name) -> None:
                made = outputs.get(id(args[0]))
                if made is not None and args[0]._version == made[2]:  # nothing has changed it in place since
                    pairs[made[0]] = name

            hooks.append(child.register_forward_pre_hook(goes_in))
    try:
        with torch.no_grad():
            module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return {conv: norm for conv, norm in pairs.items() if uses[conv] == 1 and _can_fold(module, conv, norm)}


def _can_fold(module: nn.Module, conv: str, norm: str) -> bool:
    return type(module.get_submodule(conv)) is nn.Conv2d and type(module.get_submodule(norm)) in (
        nn.BatchNorm2d,
        BatchNormAct2d,
    )
