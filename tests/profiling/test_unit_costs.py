"""MACs of spaces that cannot be taken apart into units, or that have layers which NNI's profiler does not know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nni.nas.nn.pytorch import LayerChoice
from nni_earlyexit.nn.mutables import choose, exit_branch, stage
from nni_earlyexit.profiling.macs import SymbolicMacs
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from timm.layers import ClassifierHead, ConvNormAct
from torch import nn


class Sum(nn.Module):
    """A choice that is added to what goes in: no unit, and no choice by itself."""

    def __init__(self, label):
        super().__init__()
        self.inner = LayerChoice({f"k{kernel}": ConvNormAct(8, 8, kernel) for kernel in (1, 3)}, label=label)

    def forward(self, x):
        return x + self.inner(x)


class Rolled(nn.Module):
    """A layer of which NNI's profiler cannot tell what comes out."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return self.conv(torch.roll(x, 1, dims=2))


def space_with(layer):
    class Space(EarlyExitSpace):
        name = "own"

        @classmethod
        def parts(cls):
            return Parts(
                ConvNormAct(3, 8, 3),
                [nn.Sequential(layer("stage0_own")), stage(("conv_k3", "ds_k3"), 8, 8, 2, (1, 2), label="stage1")],
                [lambda **form: exit_branch(8, 4, label="exit0", **form)],
                ClassifierHead(8, 4),
                (3, 8, 8),
                4,
            )

    return Space()


def own_layer(label):
    layers = {"own": Rolled, "conv": lambda: ConvNormAct(8, 8, 3)}
    return choose(lambda name: layers[name](), list(layers), label=label)


@pytest.mark.parametrize("layer", [Sum, own_layer])
def test_macs_equal_those_of_the_network(layer):
    space, rng = space_with(layer), np.random.default_rng(0)
    for _ in range(20):
        sample = space.sample(rng)
        assert space.exit_costs(sample) == space.freeze(sample).exit_costs


def test_a_layer_that_nnis_profiler_does_not_know_costs_what_it_costs():
    with pytest.raises(TypeError, match="NoneType"):  # what NNI says of it
        SymbolicMacs(space_with(own_layer).network)
    space_with(own_layer).cheapest(exit=-1)


def test_what_cannot_be_taken_apart_has_no_parameters_to_be_told():
    space = space_with(Sum)
    with pytest.raises(TypeError, match=r"stages\.0\.0: Sum has choices inside"):
        space.exit_params(space.sample(np.random.default_rng(0)))
