"""The stored state of a strategy: whatever happened, reading gives what was stored last."""

from __future__ import annotations

import itertools
import json

import pytest
from nni_earlyexit import strategies
from nni_earlyexit.search import checkpoint
from nni_earlyexit.search.checkpoint import Checkpoint
from nni_earlyexit.search.domain import Domain

CHOICES = {"a": list(range(10)), "b": list(range(10))}


def started(name="nsga2", **changes):
    strategy = strategies.create(name, seed=0, **changes)
    strategy.start(Domain(CHOICES, size=100))
    return strategy


def results(sample, luck=0.0):
    return {"accuracy": (sample["a"] + luck) / 20, "avg_macs": 100.0 + sample["a"] + sample["b"]}


def searched(tmp_path, times, strategy=None):
    """A strategy and its checkpoint after so many networks, each of which was stored when asked for and when told."""
    strategy = strategy or started()
    stored = Checkpoint(tmp_path)
    for _ in range(times):
        sample = strategy.ask()
        stored.save(strategy)
        strategy.tell(sample, results(sample))
        stored.save(strategy)
    return strategy, stored


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "random", "local_search", "surrogate"])
def test_a_search_goes_on_as_it_would_have(tmp_path, name):
    strategy, _ = searched(tmp_path, 15, started(name))
    again = started(name)
    assert Checkpoint(tmp_path).load(again)
    assert again.state_dict() == strategy.state_dict()
    assert [again.ask() for _ in range(3)] == [strategy.ask() for _ in range(3)]


def test_what_is_written_does_not_grow_with_the_search(tmp_path):
    strategy, stored = searched(tmp_path, 5)
    grown = []
    for _ in range(60):
        before = stored.path.stat().st_size
        strategy.tell(strategy.ask(), None)
        stored.save(strategy)
        grown.append(stored.path.stat().st_size - before)
    assert max(grown) < 1.2 * min(grown)


def test_when_the_changes_are_longer_than_the_state_it_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LEAST_CHANGES", 0)
    sizes = []
    strategy = started()
    stored = Checkpoint(tmp_path)
    for _ in range(50):
        sample = strategy.ask()
        strategy.tell(sample, results(sample))
        stored.save(strategy)
        sizes.append(stored.path.stat().st_size)
        assert checkpoint.read(stored.path) == json.loads(json.dumps(strategy.state_dict()))
    assert any(later < earlier for earlier, later in itertools.pairwise(sizes))
    assert max(sizes) < 3.5 * len(json.dumps(strategy.state_dict()))


def test_a_network_that_is_told_again_stands_there_once(tmp_path):
    strategy, stored = searched(tmp_path, 3)
    latest = list(strategy.trials.values())[-1].sample
    strategy.tell(latest, results(latest, luck=1))
    stored.save(strategy)
    assert checkpoint.read(stored.path) == json.loads(json.dumps(strategy.state_dict()))


@pytest.mark.parametrize(
    "end", [b'{"rng"', b"\0" * 100, b"[1]\n", b"{}\n"], ids=["cut", "zeros", "no mapping", "no trials"]
)
def test_a_last_line_that_is_not_whole_is_left_out_and_never_written_on(tmp_path, caplog, end):
    strategy, stored = searched(tmp_path, 4)
    with stored.path.open("ab") as file:
        file.write(end)
    again = started()
    later = Checkpoint(tmp_path)
    assert later.load(again)
    assert again.state_dict() == strategy.state_dict()
    assert "strategy.jsonl is used up to line 9, which is not whole" in caplog.text
    again.ask()
    later.save(again)
    assert checkpoint.read(later.path)["pending"] == list(again.pending.values())


def test_a_change_that_could_not_be_written_is_in_the_next_one(tmp_path, monkeypatch, caplog):
    strategy, stored = searched(tmp_path, 2)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "fsync", full)
        strategy.ask()
        stored.save(strategy)
    assert "The state of the strategy could not be saved: " in caplog.text
    strategy.ask()
    stored.save(strategy)
    assert len(checkpoint.read(stored.path)["pending"]) == 2
