"""MACs of spaces that cannot be taken apart into units, or that have layers which NNI's profiler does not know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nni.nas.nn.pytorch import LayerChoice, Repeat
from nni_earlyexit import strategies
from nni_earlyexit.nn.mutables import choose, exit_branch, stage
from nni_earlyexit.profiling.macs import SymbolicMacs
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.latency_table import LatencyTable
from nni_earlyexit.space.search_domain import domain
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
                (3, 16, 16),
                4,
            )

    return Space()


def own_layer(label):
    layers = {"own": Rolled, "conv": lambda: ConvNormAct(8, 8, 3)}
    return choose(lambda name: layers[name](), list(layers), label=label)


def strided(label):
    """A choice of the resolution, and a layer whose MACs depend on it."""
    layers = {"s1": lambda: ConvNormAct(8, 8, 3), "s2": lambda: ConvNormAct(8, 8, 3, stride=2)}
    return nn.Sequential(choose(lambda name: layers[name](), list(layers), label=label), ConvNormAct(8, 8, 3))


def pooled(label):
    layers = {"pool": lambda: nn.MaxPool2d(2), "none": nn.Identity}
    return nn.Sequential(choose(lambda name: layers[name](), list(layers), label=label), ConvNormAct(8, 8, 3))


def deeper(label):
    """A choice of how often the resolution is halved."""
    return nn.Sequential(
        Repeat(lambda index: ConvNormAct(8, 8, 3, stride=2), (1, 3), label=label), ConvNormAct(8, 8, 3)
    )


def perhaps(label):
    """A choice of whether the resolution is halved at all."""
    return nn.Sequential(
        Repeat(lambda index: ConvNormAct(8, 8, 3, stride=1 if index else 2), (0, 2), label=label), ConvNormAct(8, 8, 3)
    )


def twice(label):
    """A pooling that runs twice, and a choice after each time."""
    pool = nn.MaxPool2d(2)
    return nn.Sequential(own_layer(f"{label}_0"), pool, own_layer(f"{label}_1"), pool, own_layer(f"{label}_2"))


def shared(label):
    """A layer that runs twice with the same weights."""
    conv = ConvNormAct(8, 8, 3)
    return nn.Sequential(conv, own_layer(label), conv)


@pytest.mark.parametrize("layer", [Sum, own_layer, strided, pooled, deeper, perhaps, twice, shared])
def test_macs_equal_those_of_the_network(layer):
    space, rng = space_with(layer), np.random.default_rng(0)
    for _ in range(20):
        sample = space.sample(rng)
        network, told = space.freeze(sample), space.all_costs(sample)
        assert space.exit_costs(sample) == told.macs == network.exit_costs
        assert told.params in (None, network.exit_params)
        assert told.activation_bytes in (None, network.exit_activation_bytes)


@pytest.mark.parametrize("layer", [Sum, strided, shared])
def test_the_usual_strategy_goes_without_a_cost_that_cannot_be_told(layer):
    space = space_with(layer)
    usual = {"accuracy": "max", "params": "min"}
    strategy = strategies.create("surrogate", objectives=usual, seed=0)
    strategy.start(domain(space, Limits()))
    for number in range(12):
        strategy.tell(strategy.ask(), {"accuracy": number / 20, "params": 1000})


def test_a_table_of_latencies_of_blocks_is_refused_where_choices_change_the_resolution():
    with pytest.raises(ValueError, match=r"^latency: a table of this space is not possible: .* give different shapes"):
        LatencyTable.build(space_with(strided))


def test_a_limit_that_cannot_be_told_before_training_is_refused():
    with pytest.raises(ValueError, match=r"^max_params: params of this space are not known .*: Sum has choices inside"):
        domain(space_with(Sum), Limits(max_params=10_000))


def test_a_layer_that_nnis_profiler_does_not_know_costs_what_it_costs():
    with pytest.raises(TypeError, match="NoneType"):  # what NNI says of it
        SymbolicMacs(space_with(own_layer).network)
    space_with(own_layer).cheapest(exit=-1)


def test_what_cannot_be_taken_apart_has_no_parameters_to_be_told():
    space = space_with(Sum)
    with pytest.raises(TypeError, match=r"stages\.0\.0: Sum has choices inside"):
        space.exit_params(space.sample(np.random.default_rng(0)))
