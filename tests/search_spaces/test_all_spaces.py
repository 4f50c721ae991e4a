"""What holds for every ready-made search space; a new file in search_spaces/ is found by itself."""

from __future__ import annotations

import gc
import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import thop
import torch
from nni.nas.space import SimplifiedModelSpace
from nni_earlyexit import search_spaces
from nni_earlyexit.nn.inference import example
from nni_earlyexit.nn.memory import peak_bytes
from nni_earlyexit.profiling.macs import SymbolicMacs
from nni_earlyexit.space import identity
from timm.layers import AdaptiveAvgMaxPool2d
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

EXAMPLES = Path(__file__).parents[2] / "examples"
SPACES, REFEREED = [], []  # the latter where each of many networks is run
for _name in search_spaces.names():
    for _number, _arguments in enumerate(search_spaces.find(_name).examples):
        _space = identity.write(_name, search_spaces.find(_name).version, _arguments)
        # after the first: large images in a space that is tested with small ones, too
        SPACES.append(pytest.param(_space, marks=[pytest.mark.slow] if _number else []))
        _slow = [] if _name in ("digits", "text") else [pytest.mark.slow]
        REFEREED.append(pytest.param(_space, marks=[*_slow, *([pytest.mark.long] if _number else [])]))


@pytest.fixture(scope="module", params=SPACES)
def space(request):
    return search_spaces.create(request.param)


@pytest.fixture(scope="module")
def samples(space):
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(25)]


@pytest.fixture(scope="module")
def networks(space, samples):
    return [space.freeze(sample).eval() for sample in samples]


def test_it_has_at_least_a_million_networks(space):
    assert space.size() >= 10**6


def test_its_identity_makes_it_again(space):
    again = search_spaces.create(space.identity())
    assert again.identity() == space.identity()
    assert (again.choices, again.input_shape, again.num_classes) == (
        space.choices,
        space.input_shape,
        space.num_classes,
    )


def test_an_exit_can_be_present_and_has_depth_layers_and_a_head(space):
    for stage in range(len(space.network.stages) - 1):
        assert space.choices[f"exit{stage}_present"] == ["yes", "no"]
        assert space.choices[f"exit{stage}_depth"] == [0, 1, 2, 3]
        assert len(space.choices[f"exit{stage}_layer2"]) >= 5
        assert space.choices[f"exit{stage}_head"] == ["avg", "catavgmax"]


@pytest.mark.parametrize("space", REFEREED, indirect=True, scope="module")
def test_exit_costs_equal_the_referee_to_the_last_digit(space, samples, networks):
    for sample, network in zip(samples, networks, strict=True):
        costs = space.exit_costs(sample)
        assert costs == network.exit_costs
        assert costs == sorted(set(costs))
        shapes = deepcopy(network).to("meta")  # tensors without values, which nothing is computed for
        for k, cost in enumerate(costs):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                shapes.truncate(k)(example(space.input_shape).to("meta"))
            assert counter.get_total_flops() == 2 * cost


@pytest.mark.parametrize("space", REFEREED, indirect=True, scope="module")
def test_nnis_profiler_counts_the_same(space, samples):
    of_nni = SymbolicMacs(space.network)
    for sample in samples:
        assert of_nni(sample) == space.exit_costs(sample)


@pytest.mark.parametrize("space", REFEREED, indirect=True, scope="module")
def test_parameters_and_activation_memory_equal_those_of_the_network_that_ends_there(space, samples, networks):
    x = example(space.input_shape)
    for sample, network in zip(samples, networks, strict=True):
        params, activations = space.exit_params(sample), space.exit_activation_bytes(sample)
        assert (params, activations) == (network.exit_params, network.exit_activation_bytes)
        for k in range(len(params)):
            part = network.truncate(k).eval()
            assert params[k] == sum(parameter.numel() for parameter in part.parameters())
            assert activations[k] == peak_bytes(lambda part=part: part(x))[0]


def test_thop_agrees_on_convolutions_and_linear_layers(space, networks):
    def nothing(module, inputs, output):
        """thop counts the additions and divisions of pooling and normalisation, which are no multiply-accumulates."""

    no_macs = (
        nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.BatchNorm2d, nn.LayerNorm, nn.Softmax, AdaptiveAvgMaxPool2d,
    )  # fmt: skip
    for network in networks[:5]:
        x = example(space.input_shape)
        macs, _ = thop.profile(network, (x,), custom_ops=dict.fromkeys(no_macs, nothing), verbose=False)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(x)
        counted = counter.get_flop_counts()["Global"]
        # it does not see the products inside attention, which are no modules
        inside_attention = sum(flops for op, flops in counted.items() if "attention" in str(op) or "bmm" in str(op))
        assert 2 * macs == counter.get_total_flops() - inside_attention


def test_a_tenth_of_a_millisecond_is_enough_for_the_costs_of_a_sample(space, samples):
    import time

    space.exit_costs(samples[0])
    gc.collect()
    gc.disable()  # one collection of what all tests of this process have left would take longer than everything here
    try:
        start = time.thread_time()  # whatever else the machine does
        for sample in samples * 20:
            space.exit_costs(sample)
        taken = time.thread_time() - start
    finally:
        gc.enable()
    assert taken / len(samples * 20) < 100e-6


def test_samples_are_valid_and_canonical(space, samples):
    for sample in samples:
        space.check(sample)
        assert space.canonical(sample) == sample


def test_choices_that_make_no_difference_do_not_make_equal_networks_look_different(space, samples, networks):
    rng = np.random.default_rng(1)
    for sample, network in zip(samples[:8], networks, strict=False):
        active = set(space.active(sample))
        other = {
            label: value if label in active else space.choices[label][rng.integers(len(space.choices[label]))]
            for label, value in sample.items()
        }
        assert space.canonical(other) == space.canonical(sample)
        assert str(space.freeze(other).eval()) == str(network)
        assert space.exit_costs(other) == space.exit_costs(sample)
        assert space.describe(other) == space.describe(sample)


def test_choices_that_make_a_difference_do(space, samples, networks):
    for label in space.active(samples[0]):
        other = {**samples[0], label: next(value for value in space.choices[label] if value != samples[0][label])}
        assert space.canonical(other) != samples[0]
        assert str(space.freeze(other).eval()) != str(networks[0])


def test_freezing_gives_what_nni_gives(space, samples):
    simplified = SimplifiedModelSpace.from_model(space, None)
    for sample in samples[:3]:
        ours, theirs = space.freeze(sample), simplified.freeze(sample).executable_model()
        assert type(ours) is type(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert (ours.space, ours.sample) == (theirs.space, theirs.sample) == (space.identity(), sample)


def test_the_search_space_file_is_what_nni_makes_of_the_mutables(space):
    entries = space.search_space()
    assert entries.pop("space") == {"_type": "choice", "_value": [space.identity()]}
    assert entries == {label: mutable.as_legacy_dict() for label, mutable in space.simplify().items()}


def test_the_cheapest_network_is_cheaper_than_random_ones_and_the_dearest_dearer(space, samples):
    for exit in (0, -1):
        sample, cost = space.cheapest(exit=exit)
        assert space.exit_costs(sample)[exit] == cost
        assert cost <= min(space.exit_costs(other)[exit] for other in samples)
    _, most = space.extreme(space.exit_costs, exit=-1, most=True)
    assert most >= max(space.exit_costs(other)[-1] for other in samples)


def test_it_learns(space, samples):
    """One step of gradient descent on one batch lowers the loss of that batch, at every exit."""
    torch.manual_seed(0)
    network = space.freeze(samples[0])
    x = example(space.input_shape, 4)
    x = x + torch.arange(4).view(4, *[1] * (x.dim() - 1)) if x.dtype == torch.long else x + torch.randn_like(x)
    y = torch.arange(4) % space.num_classes
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    losses = []
    for _ in range(2):
        loss = torch.stack([nn.functional.cross_entropy(logits, y) for logits in network(x)]).mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]


@pytest.mark.parametrize("change", ["missing", "extra", "value", "type"])
def test_a_sample_that_does_not_belong_to_it_is_refused(space, samples, change):
    sample = dict(samples[0])
    label = next(iter(sample))
    if change == "missing":
        del sample[label]
    elif change == "extra":
        sample["another"] = 1
    else:
        sample[label] = "nonsense" if change == "value" else str(sample[label]) + "x"
    with pytest.raises(ValueError, match=f"sample: '?{'another' if change == 'extra' else label}"):
        space.freeze(sample)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/search_space.json")), ids=lambda file: file.parent.name)
def test_the_files_of_the_examples_are_up_to_date(file, monkeypatch):
    monkeypatch.syspath_prepend(file.parent)  # own-space brings its own module
    content = json.loads(file.read_text())
    assert content == search_spaces.create(content["space"]["_value"][0]).search_space()
