"""Gradient equilibrium: each stage gets gradients of the same size, however many exits come after it (Li et al., 2019,
"Improved techniques for training adaptive deep networks").

With n exits still to come after a stage, one of them its own, its branch passes back 1/n of the gradient and the next stage
the rest, (n - 1)/n.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from nni_earlyexit.nn.network import EarlyExitNetwork
from torch import Tensor, nn


class _Scaled(torch.autograd.Function):
    """The identity, whose gradient is scaled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """``x``, whose gradient is multiplied by ``factor``."""
    return _Scaled.apply(x, factor)


@contextmanager
def gradient_equilibrium(network: EarlyExitNetwork) -> Iterator[None]:
    """Scale the gradients of ``network`` as long as this lasts; what it computes stays the same."""

    def scaled_by(factor: float) -> Any:
        return lambda module, inputs: (scale_gradient(inputs[0], factor), *inputs[1:])

    hooks = []
    stages = network.exit_stages
    for place, stage in enumerate(stages[:-1]):
        to_come = len(stages) - place
        branch: nn.Module = network.exits[str(stage)]
        hooks.append(branch.register_forward_pre_hook(scaled_by(1 / to_come)))
        hooks.append(network.stages[stage + 1].register_forward_pre_hook(scaled_by((to_come - 1) / to_come)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
