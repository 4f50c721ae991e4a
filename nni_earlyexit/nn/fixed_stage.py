"""A piece of a given model, in which nothing is searched and which can be kept from learning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from nni.nas.profiler.pytorch.flops import FlopsResult
from nni.nas.profiler.pytorch.utils.misc import profiler_leaf_module
from nni.nas.profiler.pytorch.utils.shape import MutableShape, ShapeTensor
from nni_earlyexit.nn import counting
from nni_earlyexit.nn.inference import example, probing
from torch import Tensor, nn


@profiler_leaf_module
class FixedStage(nn.Module):
    """A piece of a given model. Frozen, it does not learn: weights and batch statistics stay, and it stays in evaluation mode.

    Attributes
    ----------
    input_shape, output_shape
        Shapes of one input and output, without the batch.
    """

    def __init__(self, body: nn.Module, input_shape: Sequence[int], output_shape: Sequence[int]) -> None:
        super().__init__()
        self.body = body
        self.input_shape, self.output_shape = tuple(input_shape), tuple(output_shape)
        self.frozen = False

    def forward(self, x: Tensor) -> Tensor:
        """The piece's output for ``x``; without gradients where it is frozen and nothing before it learns."""
        if isinstance(
            x, ShapeTensor
        ):  # NNI's profiler wants only the shape, and the body may compute with the sizes of x
            return ShapeTensor(self.body(x.elem))
        learns = x.requires_grad or any(parameter.requires_grad for parameter in self.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and (learns or not self.frozen)):
            return self.body(x)

    def freeze(self, but: Sequence[str] = ()) -> None:
        """Let it learn nothing from now on, ``but`` the modules of these names, as far as they are in here."""
        self.frozen = True
        self.requires_grad_(False)
        for name, module in self.body.named_modules():
            if name in but:
                module.requires_grad_(True)
        self.eval()

    def train(self, mode: bool = True) -> FixedStage:
        """Set the mode; a frozen piece stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    @cached_property
    def _macs(self) -> int:
        parameter = next(self.parameters(), None)
        x = example(self.input_shape, device=None if parameter is None else parameter.device)
        with probing(self), counting.counter() as operations:
            self(x)
        return operations.get_total_flops() // 2

    # for NNI's profiler: nothing in here is searched, so one run says all

    def _shape_forward(self, x: ShapeTensor) -> MutableShape:
        return MutableShape(x.real_shape[0], *self.output_shape)

    def _count_flops(self, x: tuple[MutableShape, ...], y: tuple[MutableShape, ...]) -> FlopsResult:
        return FlopsResult(self._macs, sum(parameter.numel() for parameter in self.parameters()))
