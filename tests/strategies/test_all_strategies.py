"""What holds for every strategy; a new file in strategies/ is found by itself."""

from __future__ import annotations

import itertools
import math

import pytest
from nni_earlyexit import strategies
from nni_earlyexit.ask_tell import Domain, Exhausted, key

CHOICES = {"depth": [1, 2, 3], "block0": ["a", "b"], "block1": ["a", "b"], "block2": ["a", "b"]}


def canonical(sample):
    """Blocks beyond the depth make no difference."""
    return {
        label: CHOICES[label][0] if label.startswith("block") and int(label[5:]) >= sample["depth"] else value
        for label, value in sample.items()
    }


def metrics(sample):
    cost = sum(1 + (sample[f"block{i}"] == "b") for i in range(sample["depth"]))
    return {"accuracy": math.sqrt(cost) / 3, "avg_macs": 1e5 * cost, "full_macs": 2e5 * cost, "params": cost}


NETWORKS = {
    key(canonical(dict(zip(CHOICES, values, strict=True)))): canonical(dict(zip(CHOICES, values, strict=True)))
    for values in itertools.product(*CHOICES.values())
}


@pytest.fixture(params=strategies.names())
def name(request):
    return request.param


@pytest.fixture
def strategy(name):
    strategy = strategies.create(name, seed=1)
    strategy.start(Domain(CHOICES, canonical))
    return strategy


def test_every_network_is_proposed_once_and_then_none_is_left(strategy):
    seen = []
    for _ in NETWORKS:
        sample = strategy.ask()
        seen.append(key(sample))
        strategy.tell(sample, metrics(sample))
    assert sorted(seen) == sorted(NETWORKS)
    with pytest.raises(Exhausted):
        strategy.ask()


def test_nobody_waits(strategy):
    asked = [strategy.ask() for _ in NETWORKS]
    assert sorted(map(key, asked)) == sorted(NETWORKS)


def test_a_network_that_cannot_meet_the_limits_is_never_proposed(name):
    def excess(sample):
        return max(0, metrics(sample)["full_macs"] - 6e5)

    within = {k for k, sample in NETWORKS.items() if excess(sample) == 0}
    strategy = strategies.create(name, seed=2)
    strategy.start(Domain(CHOICES, canonical, excess))
    assert {key(strategy.ask()) for _ in within} == within
    with pytest.raises(Exhausted):
        strategy.ask()


def test_a_rare_feasible_network_is_found(name):
    choices = {f"x{i}": [0, 1, 2, 3] for i in range(12)}
    strategy = strategies.create(name, seed=0)
    strategy.start(Domain(choices, excess=lambda sample: max(0, sum(sample.values()) - 1)))
    found = {key(strategy.ask()) for _ in range(13)}
    assert len(found) == 13
    with pytest.raises(Exhausted):
        strategy.ask()


def test_the_same_seed_proposes_the_same_networks(name):
    def proposals(seed):
        strategy = strategies.create(name, seed=seed)
        strategy.start(Domain({f"x{i}": [0, 1, 2] for i in range(10)}))
        asked = []
        for _ in range(40):
            asked.append(strategy.ask())
            total = sum(asked[-1].values())
            strategy.tell(asked[-1], {"accuracy": total / 20, "avg_macs": total**2 + 1})
        return asked

    assert proposals(3) == proposals(3)
    assert proposals(3) != proposals(4)


def test_failed_trials_are_not_proposed_again_and_not_on_the_front(strategy):
    failed = strategy.ask()
    strategy.tell(failed, None)
    others = [strategy.ask() for _ in range(len(NETWORKS) - 1)]
    assert failed not in others
    for sample in others:
        strategy.tell(sample, metrics(sample))
    assert all(trial.sample != failed for trial in strategy.front())


def test_a_metric_that_is_not_a_number_counts_as_a_failure(strategy):
    sample = strategy.ask()
    strategy.tell(sample, {**metrics(sample), "accuracy": math.nan})
    assert strategy.front() == []


def test_results_that_were_never_asked_for_are_taken_in(strategy):
    imported = next(iter(NETWORKS.values()))
    strategy.tell({**imported, "block2": "b"}, metrics(imported))
    assert all(strategy.ask() != imported for _ in range(len(NETWORKS) - 1))
    assert [trial.sample for trial in strategy.front()] == [imported]


def test_the_front_is_what_no_other_network_beats(strategy):
    for sample in NETWORKS.values():
        # one network is over the limit, one is beaten by the others
        values = metrics(sample)
        strategy.tell(sample, values | {"accuracy": 0.0, "avg_macs": 1e9} if sample["depth"] == 2 else values)
    best = {trial.losses for trial in strategy.front()}
    everything = {trial.losses for trial in strategy.trials.values()}
    assert best == {a for a in everything if not any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in everything)}


def test_a_network_over_the_limit_is_not_on_the_front(strategy):
    sample = strategy.ask()
    strategy.tell(sample, {**metrics(sample), "excess": 5})
    assert strategy.front() == []


def test_missing_objectives_are_named(strategy):
    with pytest.raises(ValueError, match="metrics: 'avg_macs' is missing"):
        strategy.tell(strategy.ask(), {"accuracy": 1.0})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"objectives": {"acuracy": "max"}}, "objectives: 'acuracy' is unknown; did you mean 'accuracy'"),
        ({"objectives": {"accuracy": "up"}}, "objectives: direction 'up' of accuracy is unknown"),
        ({"objectives": {}}, "objectives: {} is not possible"),
        ({"size": 3}, "strategy_arguments: .* unexpected keyword argument 'size'"),
    ],
)
def test_bad_arguments_get_one_sentence(name, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        strategies.create(name, **arguments)


def test_an_unknown_strategy_gets_the_nearest_names():
    with pytest.raises(ValueError, match="strategy: 'nsga' is unknown; did you mean 'nsga2'"):
        strategies.create("nsga")
