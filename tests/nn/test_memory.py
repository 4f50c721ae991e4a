from __future__ import annotations

import torch
from nni_earlyexit.nn.memory import peak_bytes
from torch import nn

X = torch.zeros(1, 3, 8, 8)


def test_the_peak_is_what_is_alive_at_once():
    layers = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 4, 1), nn.Conv2d(4, 2, 1)).eval()
    # 16 and 4 channels of 64 floats; when the last layer runs, the 16 are gone
    assert peak_bytes(lambda: layers(X))[0] == (16 + 4) * 64 * 4


def test_what_happens_in_place_and_views_cost_nothing():
    assert peak_bytes(lambda: X.view(-1).reshape(3, 64).t())[0] == 0
    conv, act = nn.Conv2d(3, 16, 1), nn.ReLU(inplace=True)
    assert peak_bytes(lambda: act(conv(X)))[0] == 16 * 64 * 4


def test_a_residual_waits():
    conv = nn.Conv2d(3, 3, 1)
    assert peak_bytes(lambda: conv(conv(X)) + X)[0] == 2 * 3 * 64 * 4


def test_the_result_comes_along():
    peak, y = peak_bytes(lambda: X + 1)
    assert (peak, float(y.sum())) == (3 * 64 * 4, 192.0)
