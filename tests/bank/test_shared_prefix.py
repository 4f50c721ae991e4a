"""What all branches of a stage begin with."""

from __future__ import annotations

import torch
from nni_earlyexit.bank import shared_prefix
from torch import nn


def test_pooling_comes_first_and_the_rest_learns():
    branch = nn.Sequential(
        nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 4, 1), nn.ReLU()), nn.Flatten(), nn.Linear(16, 2)
    )
    prefix, rest = shared_prefix.split(branch)
    assert [type(module) for module in prefix] == [nn.AvgPool2d]
    x = torch.randn(5, 3, 4, 4)
    assert torch.equal(rest(prefix(x)), branch(x))
    assert rest[0].weight is branch[0][1].weight


def test_batch_statistics_are_something_to_learn():
    prefix, rest = shared_prefix.split(nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.Flatten()))
    assert (len(prefix), len(rest)) == (0, 2)


def test_a_branch_in_one_piece_is_not_split():
    prefix, rest = shared_prefix.split(nn.Linear(3, 2))
    assert (len(prefix), len(rest)) == (0, 1)
