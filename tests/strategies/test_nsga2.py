from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit import strategies
from nni_earlyexit.search.domain import Domain
from pymoo.indicators.hv import HV

CHOICES = {f"x{i}": [0, 1, 2, 3] for i in range(20)}
USEFUL = np.arange(20) % 2


def metrics(sample):
    values = np.array(list(sample.values()))
    return {"accuracy": float(values @ USEFUL) / 30, "avg_macs": float((values**2).sum() + 1)}


def hypervolume(name, seed, trials=150):
    strategy = strategies.create(name, seed=seed)
    strategy.start(Domain(CHOICES))
    for _ in range(trials):
        sample = strategy.ask()
        strategy.tell(sample, metrics(sample))
    return HV(ref_point=np.array([0.0, 180.0]))(np.array([trial.losses for trial in strategy.trials.values()]))


@pytest.mark.slow
def test_it_beats_random_search():
    ours = [hypervolume("nsga2", seed) for seed in range(5)]
    theirs = [hypervolume("random", seed) for seed in range(5)]
    assert min(ours) > max(theirs)


def test_children_come_from_the_networks_known_by_then_without_waiting_for_a_generation():
    strategy = strategies.create("nsga2", seed=0, population_size=4)
    strategy.start(Domain(CHOICES))
    first = [strategy.ask() for _ in range(4)]
    for sample in first[:2]:
        strategy.tell(sample, metrics(sample))
    # two of four are still running, and the fifth is a mixture of the two that are known
    child = strategy.ask()
    foreign = sum(child[label] not in (first[0][label], first[1][label]) for label in CHOICES)
    assert foreign <= 4


def test_a_network_over_the_limit_loses_against_one_within_it():
    strategy = strategies.create("nsga2", seed=0, population_size=2)
    strategy.start(Domain(CHOICES))
    for accuracy, excess in ((0.9, 10), (0.8, 5), (0.1, 0), (0.2, 0)):
        strategy.tell(strategy.random_sample(), {"accuracy": accuracy, "avg_macs": 1 - accuracy, "excess": excess})
    assert [parent.excess for parent in strategy.parents] == [0, 0]


@pytest.mark.parametrize("size", [1, 0, 2.5, "20"])
def test_impossible_population_sizes_are_refused(size):
    with pytest.raises(ValueError, match="population_size: .* is not possible"):
        strategies.create("nsga2", population_size=size)


def test_a_population_larger_than_the_space_is_refused():
    strategy = strategies.create("nsga2", population_size=30)
    with pytest.raises(ValueError, match="population_size: 30 is not possible; the space has 16 networks"):
        strategy.start(Domain({"a": [0, 1, 2, 3], "b": [0, 1, 2, 3]}, size=16))


def test_a_network_stays_for_what_it_adds_to_the_front():
    """The second beats the first where it reports, but the first has points that nobody else has."""
    strategy = strategies.create("nsga2", seed=0, population_size=2)
    strategy.start(Domain(CHOICES))
    samples = [strategy.random_sample() for _ in range(4)]
    fronts = [([0.5, 0.99], [10, 90]), ([0.6, 0.9], [20, 80]), ([0.59, 0.85], [21, 81]), ([0.58, 0.84], [22, 82])]
    for sample, (accuracy, avg_macs) in zip(samples, fronts, strict=True):
        reported = {"accuracy": 0.5, "avg_macs": 99}
        strategy.tell(sample, {**reported, "front": {"accuracy": accuracy, "avg_macs": avg_macs}})
    assert sorted(samples.index(parent.sample) for parent in strategy.parents) == [0, 1]
