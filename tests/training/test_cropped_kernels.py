"""Kernels without the weights that only meet padding."""

from __future__ import annotations

import pytest
import torch
from nni_earlyexit.training.cropped_kernels import cropped_kernels
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@pytest.mark.parametrize("pixels", [(1, 1), (2, 2), (2, 5), (3, 1), (4, 4)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "groups"), [(3, 1), (5, 4), (7, 4), ((3, 7), 4)])
def test_outputs_and_gradients_are_those_of_the_whole_kernel(pixels, stride, kernel, groups):
    torch.manual_seed(0)
    padding = tuple(size // 2 for size in kernel) if isinstance(kernel, tuple) else kernel // 2
    conv = nn.Conv2d(4, 8, kernel, stride, padding, groups=groups).double()
    x = torch.randn(3, 4, *pixels, dtype=torch.double, requires_grad=True)
    y = conv(x)
    weight = torch.randn_like(y)
    expected = torch.autograd.grad((y * weight).sum(), [x, *conv.parameters()])
    with cropped_kernels(nn.Sequential(conv)):
        cropped = conv(x)
        found = torch.autograd.grad((cropped * weight).sum(), [x, *conv.parameters()])
    torch.testing.assert_close(cropped, y)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other)


def test_other_convolutions_and_evaluation_stay_as_they_are():
    others = [nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3, padding=2, dilation=2), nn.Conv2d(1, 1, 4, padding=2)]
    others.append(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))
    conv = nn.Conv2d(2, 2, 7, padding=3, groups=2)
    network = nn.Sequential(*others, conv)
    with cropped_kernels(network):
        assert [type(other) is nn.Conv2d for other in others] == [True] * 4
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            conv(torch.zeros(1, 2, 1, 1))
        assert counter.get_total_flops() == 2 * 2 * 49
        with FlopCounterMode(display=False) as counter:
            conv(torch.zeros(1, 2, 1, 1))
        assert counter.get_total_flops() == 2 * 2
    assert type(conv) is nn.Conv2d
