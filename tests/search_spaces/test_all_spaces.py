"""What holds for every ready-made search space; a new file in search_spaces/ is found by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import thop
import torch
from nni.nas.space import SimplifiedModelSpace
from nni_earlyexit import search_spaces
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module", params=search_spaces.names())
def space(request):
    return search_spaces.create(request.param)


@pytest.fixture
def samples(space):
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(25)]


def test_it_has_at_least_a_million_networks(space):
    assert space.size() >= 10**6


def test_exit_costs_equal_the_referee_to_the_last_digit(space, samples):
    for sample in samples:
        network = space.freeze(sample)
        costs = space.exit_costs(sample)
        assert costs == network.exit_costs
        assert costs == sorted(set(costs))
        for k, cost in enumerate(costs):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network.truncate(k).eval()(torch.zeros(1, *space.input_shape))
            assert counter.get_total_flops() == 2 * cost


def test_thop_agrees_where_it_counts_the_same_operations(space, samples):
    def nothing(module, inputs, output):
        """thop counts the additions of pooling, which are no multiply-accumulates."""

    for sample in samples[:5]:
        network = space.freeze(sample).eval()
        x = torch.zeros(1, *space.input_shape)
        macs, _ = thop.profile(network, (x,), custom_ops={nn.AdaptiveAvgPool2d: nothing}, verbose=False)
        assert macs == space.exit_costs(sample)[-1]


def test_samples_are_valid_and_canonical(space, samples):
    for sample in samples:
        space.check(sample)
        assert space.canonical(sample) == sample


def test_choices_that_make_no_difference_do_not_make_equal_networks_look_different(space, samples):
    rng = np.random.default_rng(1)
    for sample in samples:
        active = set(space.active(sample))
        other = {
            label: value if label in active else space.choices[label][rng.integers(len(space.choices[label]))]
            for label, value in sample.items()
        }
        assert space.canonical(other) == space.canonical(sample)
        assert str(space.freeze(other)) == str(space.freeze(sample))
        assert space.exit_costs(other) == space.exit_costs(sample)
        assert space.describe(other) == space.describe(sample)


def test_choices_that_make_a_difference_do(space, samples):
    for sample in samples[:5]:
        for label in space.active(sample):
            other = {**sample, label: next(value for value in space.choices[label] if value != sample[label])}
            assert space.canonical(other) != sample
            assert str(space.freeze(other)) != str(space.freeze(sample))


def test_freezing_gives_what_nni_gives(space, samples):
    simplified = SimplifiedModelSpace.from_model(space, None)
    for sample in samples[:5]:
        ours, theirs = space.freeze(sample), simplified.freeze(sample).executable_model()
        assert type(ours) is type(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert ours.exit_costs == theirs.exit_costs
        assert ours.sample == theirs.sample == sample


def test_the_search_space_file_is_what_nni_makes_of_the_mutables(space):
    entries = space.search_space()
    assert entries.pop("space") == {"_type": "choice", "_value": [space.identity()]}
    assert entries == {label: mutable.as_legacy_dict() for label, mutable in space.simplify().items()}


def test_the_file_of_its_example_is_up_to_date(space):
    file = EXAMPLES / space.name / "search_space.json"
    assert json.loads(file.read_text()) == space.search_space()


def test_the_cheapest_network_is_cheaper_than_random_ones(space, samples):
    for exit in (0, -1):
        sample, cost = space.cheapest(exit=exit)
        assert space.freeze(sample).exit_costs[exit] == cost
        assert cost <= min(space.exit_costs(other)[exit] for other in samples)


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
