"""What all branches of a stage begin with."""

from __future__ import annotations

import pytest
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.bank.shared_prefix import shared_prefix, split
from torch import nn


def kinds(modules):
    return [type(module).__name__ for module in modules]


def test_it_is_the_pooling_and_not_the_head_of_the_shallowest_branch():
    space = search_spaces.create("resnet channels=8")
    prefix = shared_prefix(space.network.exits["0"])
    assert kinds(prefix) == ["AvgPool2d"]
    network = space.freeze({**space.cheapest(exit=-1)[0], "exit0_present": "yes", "exit0_depth": 2})
    branch = network.exits["0"]
    rest = split(branch, prefix)
    x = torch.randn(5, 8, 32, 32)
    branch.eval()
    assert torch.equal(rest(prefix(x)), branch(x))
    assert rest[0] is branch[0][1]


def test_tokens_are_not_pooled_before_layers_can_see_them():
    space = search_spaces.create("text channels=8")
    assert kinds(shared_prefix(space.network.exits["0"])) == ["Identity"]


def test_a_layer_without_weights_that_is_chosen_is_no_part_of_it():
    space = search_spaces.create("digits exit_depth=1 exit_layers=ds_k3,conv_k3 exit_heads=avg")
    assert kinds(shared_prefix(space.network.exits["0"])) == ["AvgPool2d"]


def test_batch_statistics_are_something_to_learn():
    prefix = shared_prefix(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3, affine=False), nn.Flatten()))
    assert kinds(prefix) == ["Flatten"]


def test_a_branch_that_begins_otherwise_is_refused():
    with pytest.raises(ValueError, match="begins with"):
        split(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), nn.Sequential(nn.AvgPool2d(2)))
