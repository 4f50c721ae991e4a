from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit import strategies
from nni_earlyexit.ask_tell import Domain
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
    assert {float(parent.G[0]) for parent in strategy._parents()} == {0.0}


@pytest.mark.parametrize("size", [1, 0, 2.5, "20"])
def test_impossible_population_sizes_are_refused(size):
    with pytest.raises(ValueError, match="population_size: .* is not possible"):
        strategies.create("nsga2", population_size=size)
