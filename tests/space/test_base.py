"""The rules for exits, and constraints between choices."""

from __future__ import annotations

import re

import numpy as np
import pytest
from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.integration.nas_strategy import SearchStrategy
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.space.search_domain import check_limits, domain


def exits(space, sample):
    return space.freeze(sample).exit_stages[:-1]


def test_fixed_exits_are_always_there_and_banned_ones_never(rng):
    space = search_spaces.create("digits", fixed_exits=(0,), banned_exits=(1,))
    found = {tuple(exits(space, space.sample(rng))) for _ in range(20)}
    assert found == {(0,), (0, 2)}
    assert "exit0_present" not in space.choices
    assert not any(label.startswith("exit1_") for label in space.choices)


def test_no_exit_comes_before_the_first_allowed_stage(rng):
    space = search_spaces.create("digits", first_exit=2)
    assert {tuple(exits(space, space.sample(rng))) for _ in range(20)} == {(), (2,)}


def test_no_sample_has_more_exits_than_allowed(rng):
    space = search_spaces.create("digits", max_exits=1)
    samples = [space.sample(rng) for _ in range(30)]
    assert {len(exits(space, sample)) for sample in samples} == {0, 1}
    too_many = {**samples[0], "exit0_present": "yes", "exit1_present": "yes"}
    with pytest.raises(
        ValueError, match="sample: it has [23] early exits, more than max_exits=1, which space digits/2"
    ):
        space.freeze(too_many)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "surrogate" else []) for name in strategies.names()]
)
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"max_exits": 1}, marks=pytest.mark.slow),
        {"max_exits": 1, "fixed_exits": (1,)},
        pytest.param({"max_exits": 0}, marks=[pytest.mark.slow, pytest.mark.long]),
    ],
)
def test_no_strategy_proposes_a_network_that_breaks_a_rule(name, rules):
    space = search_spaces.create("digits", **rules)
    strategy = strategies.create(name, seed=1)
    strategy.start(domain(space, Limits(max_full_macs=2e6)))
    for i in range(60):
        sample = strategy.ask()
        assert space.violation(sample) is None
        strategy.tell(sample, {"accuracy": i % 7, "avg_macs": space.exit_costs(sample)[0]})


def test_the_cheapest_network_keeps_the_rules():
    free = search_spaces.create("digits")
    one = search_spaces.create("digits", max_exits=1)
    assert one.cheapest(exit=0)[1] == free.cheapest(exit=0)[1]
    late = search_spaces.create("digits", max_exits=1, fixed_exits=(2,))
    sample, cost = late.cheapest(exit=0)
    assert exits(late, sample) == (2,)
    assert cost > one.cheapest(exit=0)[1]


@pytest.mark.parametrize(
    ("limit", "value", "sentence"),
    [
        ("max_params", 100, "max_params: 100 is below the cheapest network of space digits/2, whose last exit costs"),
        ("max_activation_bytes", 1000, "max_activation_bytes: 1k is below the cheapest network .* bytes"),
        ("max_full_macs", 1000, "max_full_macs: 1k is below .* whose last exit costs 89.2k"),
        ("max_avg_macs", 1000, "max_avg_macs: 1k is below .* whose first exit costs"),
    ],
)
def test_a_space_whose_every_network_is_over_a_limit_is_refused(digits_space, limit, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        domain(digits_space, Limits(**{limit: value}))


def test_what_is_proposed_keeps_every_limit_that_is_known_before_training(digits_space):
    goal = Limits(max_full_macs=1e6, max_params=60_000, max_activation_bytes=20_000)
    strategy = strategies.create("random", seed=0)
    strategy.start(domain(digits_space, goal))
    for _ in range(20):
        costs = digits_space.all_costs(strategy.ask())
        assert costs.macs[-1] <= 1e6
        assert costs.params[-1] <= 60_000
        assert costs.activation_bytes[-1] <= 20_000


def test_an_argument_of_the_space_reaches_the_networks_that_nni_builds():
    from nni.nas.space import SimplifiedModelSpace

    space = search_spaces.create("digits", num_classes=7, max_exits=2)
    model = SimplifiedModelSpace.from_model(space, None).freeze(space.sample(np.random.default_rng(0)))
    network = model.executable_model()
    assert (network.num_classes, network.space) == (7, "digits/2 max_exits=2 num_classes=7")


def test_strategies_search_spaces_that_are_not_ours():
    from nni.nas.hub.pytorch import NasBench201
    from nni_earlyexit.space.search_domain import plain_domain

    strategy = SearchStrategy(strategies.create("random", seed=0)).strategy
    strategy.start(plain_domain(NasBench201(num_labels=10)))
    assert len({str(strategy.ask()) for _ in range(5)}) == 5


def test_a_limit_that_is_too_low_names_the_argument_that_makes_networks_cheaper():
    for space, argument in (
        ("mobilenetv3 halvings=5", "width= has cheaper ones (it is 1.0)"),
        ("vit channels=64", "channels= has cheaper ones (it is 64)"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"; a space with a smaller {argument}")):
            check_limits(search_spaces.create(space), Limits(max_full_macs=1000))
