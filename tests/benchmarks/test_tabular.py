"""The tables of trained networks that strategies are compared on."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.search.domain import key

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from tabular import Box, Table
from tabular.spaces import TABLES
from tabular.synthetic import Synthetic


@pytest.fixture(scope="module", params=TABLES)
def table(request):
    return Table(request.param)


def test_there_is_a_result_of_every_network(table):
    assert len(table) == len(TABLES[table.name].networks())
    assert len({key(sample) for sample in table.samples}) == len(table)
    for sample in table.samples:
        metrics = table.query(sample)
        assert 0 <= metrics["accuracy"] <= 1
        assert 1 <= len(metrics["front"]["accuracy"]) <= 32


def test_costs_are_those_of_the_space(table, rng):
    space, canonical = search_spaces.create(table.space), TABLES[table.name].canonical()
    for i in rng.choice(len(table), 20):
        sample = table.samples[i]
        assert table.costs(sample).macs == space.exit_costs(canonical(sample))
        assert table.query(sample)["full_macs"] == space.exit_costs(canonical(sample))[-1]


def test_samples_of_the_same_network_have_the_same_result(table):
    absent = {**table.samples[0], "exit0_present": "no"}
    assert table.query({**absent, "exit0_depth": 1}) == table.query({**absent, "exit0_depth": 0})


def test_the_noise_is_known(table):
    repeated = table.repeated()
    assert len(repeated) >= 30
    again = np.array([[table.query(sample, seed)["accuracy"] for seed in (0, 1, 2)] for sample in repeated])
    assert 0.001 < again.std(axis=1).mean() < 0.05


def test_all_networks_together_reach_the_true_front(table):
    box = Box(table)
    assert box.share(box.points) == 1
    assert box.share(box.points[:1]) < 1


def test_a_query_takes_microseconds(table):
    start = time.thread_time()  # whatever else the machine does
    for sample in table.samples[:200]:
        table.query(sample)
    assert (time.thread_time() - start) / 200 < 0.001


def test_strategies_search_it(table):
    strategy = strategies.create("local_search", seed=0)
    strategy.start(table.domain)
    for _ in range(30):
        sample = strategy.ask()
        strategy.tell(sample, table.query(sample))
    assert Box(table).share(strategy.archive.points) > 0.7


def test_a_computed_table_is_asked_like_one_of_trained_networks():
    table, again, other = Synthetic(0), Synthetic(0), Synthetic(1)
    assert len(table) == len({key(sample) for sample in table.samples}) == 6561
    macs = [own for sample in table.samples for own in table.costs(sample).macs]
    assert max(macs) > 100 * min(macs)
    box = Box(table)
    assert box.share(box.points) == 1
    for sample in table.samples[::500]:
        metrics = table.query(sample)
        assert metrics == again.query(sample) != other.query(sample)
        assert metrics["front"]["avg_macs"][-1] == metrics["full_macs"] == table.costs(sample).macs[-1]
        assert 0 <= min(metrics["front"]["accuracy"]) <= metrics["front"]["accuracy"][-1] <= 1
    assert table.costs(table.samples[0]).stages == [2]
    strategy = strategies.create("surrogate", seed=0)
    strategy.start(table.domain)
    for _ in range(15):
        sample = strategy.ask()
        strategy.tell(sample, table.query(sample))
    assert 0.5 < box.share(strategy.archive.points) < 1
