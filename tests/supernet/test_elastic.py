"""Layers of a supernet that share weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from nni.mutable import Categorical
from nni_earlyexit import search_spaces
from nni_earlyexit.nn import blocks
from nni_earlyexit.supernet.elastic import ElasticLayer
from nni_earlyexit.supernet.inheritance import inherit
from nni_earlyexit.supernet.supernet import Supernet, take_path

NAMES = ("mb_k3_e2", "mb_k5_e2", "mb_k3_e4", "mb_k5_e4", "ds_k3", "mb_k5_e4_se")


@pytest.fixture
def layer():
    torch.manual_seed(0)
    candidates = {name: blocks.build(name, 8, 8) for name in NAMES}
    return ElasticLayer(candidates, Categorical(list(NAMES), label="block"))


def test_the_largest_of_each_kind_keeps_its_weights(layer):
    assert set(layer.owners) == {"mb_k5_e4", "ds_k3", "mb_k5_e4_se"}
    own = sum(p.numel() for name in layer.owners for p in blocks.build(name, 8, 8).parameters())
    assert sum(p.numel() for p in layer.parameters()) == own


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_computes_what_it_computes_alone_with_its_weights(layer, name):
    layer.resample({"block": name})
    _, tensors = layer.layer(name)
    alone = blocks.build(name, 8, 8)
    alone.load_state_dict({key: tensor.clone() for key, tensor in tensors.items()})
    x = torch.randn(4, 8, 6, 6)
    for mode in (True, False):
        layer.train(mode)
        alone.train(mode)
        torch.testing.assert_close(layer(x), alone(x))
    running = [tensor for key, tensor in layer.layer(name)[1].items() if key.endswith("running_mean")]
    assert all(tensor.abs().sum() > 0 for tensor in running)


def test_a_smaller_layer_teaches_a_part_of_the_largest(layer):
    layer.resample({"block": "mb_k3_e2"})
    layer(torch.randn(4, 8, 6, 6)).sum().backward()
    gradient = layer.owners["mb_k5_e4"].conv_dw.weight.grad
    assert gradient.shape == (32, 1, 5, 5)
    assert gradient[:16, :, 1:4, 1:4].abs().sum() > 0
    assert gradient[16:].abs().sum() == 0
    assert gradient[:16, :, 0].abs().sum() == 0


def test_the_part_is_the_first_channels_and_the_middle_of_the_kernel(layer):
    _, tensors = layer.layer("mb_k3_e2")
    whole = layer.owners["mb_k5_e4"]
    assert torch.equal(tensors["conv_dw.weight"], whole.conv_dw.weight[:16, :, 1:4, 1:4])
    assert torch.equal(tensors["bn1.running_var"], whole.bn1.running_var[:16])


def test_the_parts_are_those_of_a_copy_and_of_another_precision(layer):
    other = copy.deepcopy(layer).double()
    other.resample({"block": "mb_k3_e2"})
    x = torch.randn(4, 8, 6, 6, dtype=torch.float64)
    before = layer.layer("mb_k3_e2")[1]["bn1.running_mean"].clone()
    other(x).sum().backward()
    assert other.layer("mb_k3_e2")[1]["bn1.running_mean"].dtype == torch.float64
    assert torch.equal(layer.layer("mb_k3_e2")[1]["bn1.running_mean"], before)
    assert layer.owners["mb_k5_e4"].conv_dw.weight.grad is None


def test_it_must_be_sampled_first(layer):
    with pytest.raises(RuntimeError, match="block must be sampled before"):
        layer(torch.randn(1, 8, 6, 6))


@pytest.mark.parametrize("name", ["digits", "mobilenetv3 halvings=5", "resnet channels=8", "text channels=16", "vit"])
def test_a_path_is_the_network_that_inherits_from_it(name):
    space = search_spaces.create(name)
    torch.manual_seed(0)
    supernet = Supernet(space)
    largest = sum(p.numel() for p in space.freeze(supernet.largest).parameters())
    assert sum(p.numel() for p in supernet.network.parameters()) < 2.5 * largest
    x = (
        torch.randn(2, *space.input_shape)
        if len(space.input_shape) == 3
        else torch.randint(0, 9, (2, *space.input_shape))
    )
    rng = np.random.default_rng(0)
    supernet.network.eval()
    for sample in (supernet.largest, supernet.smallest, *(space.sample(rng) for _ in range(4))):
        network = space.freeze(sample).eval()
        inherit(network, supernet.network)
        take_path(supernet.network, sample)
        with torch.no_grad():
            for own, path in zip(network(x), supernet.network(x), strict=True):
                torch.testing.assert_close(own, path, atol=1e-5, rtol=1e-5)
