"""Convolutions without the weights that only meet padding: the same numbers in less time.

In late stages of small images, kernels are larger than what they look at: on a map of one pixel, 48 of the 49 weights of a 7x7
kernel only ever multiply zeros. Libraries compute them all the same, which takes a quarter of a step of the largest MobileNetV3
for such images (docs/results.md). This is for training alone: in evaluation mode, costs are counted as the layers say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


class _Cropped(nn.Conv2d):
    """A convolution whose padding is half its kernel, without the weights that are out of reach of its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        """The outputs of the whole convolution for images ``x``."""
        reach = [min(size // 2, pixels - 1) for size, pixels in zip(self.kernel_size, x.shape[2:], strict=True)]
        if not torch.is_grad_enabled() or reach == [size // 2 for size in self.kernel_size]:
            return super().forward(x)
        rows, columns = (
            slice(size // 2 - most, size // 2 + most + 1) for size, most in zip(self.kernel_size, reach, strict=True)
        )
        return conv2d(x, self.weight[:, :, rows, columns], self.bias, self.stride, tuple(reach), 1, self.groups)


@contextmanager
def cropped_kernels(network: nn.Module) -> Iterator[None]:
    """Let the convolutions of ``network`` leave out, in training, the weights that only meet padding."""
    changed = [module for module in network.modules() if type(module) is nn.Conv2d and _has_half_padding(module)]
    for module in changed:
        module.__class__ = _Cropped
    try:
        yield
    finally:
        for module in changed:
            module.__class__ = nn.Conv2d


def _has_half_padding(module: nn.Conv2d) -> bool:
    """``True`` if a kernel of odd size looks at as much on each side, and what is beyond the edge is zero."""
    sizes = module.kernel_size
    return (
        max(sizes) > 1
        and all(size % 2 for size in sizes)
        and module.padding == tuple(size // 2 for size in sizes)
        and module.dilation == (1,) * len(sizes)
        and module.padding_mode == "zeros"
    )
