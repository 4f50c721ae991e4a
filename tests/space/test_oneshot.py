"""NNI's one-shot strategies on a space with optional exits: real supernets, trained."""

from __future__ import annotations

import random

import pytest
import torch
from nni.nas import strategy
from nni.nas.experiment import NasExperiment
from nni_earlyexit import search_spaces
from nni_earlyexit.integration.evaluator import EarlyExitEvaluator
from nni_earlyexit.space import oneshot


def search(space, one_shot, batch_size=32):
    torch.manual_seed(0)
    random.seed(0)
    experiment = NasExperiment(space, EarlyExitEvaluator(epochs=1, batch_size=batch_size), one_shot)
    experiment.run(port=None)
    best = experiment.export_top_models(1, formatter="dict")[0]
    experiment.stop()
    return best


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("home")
def test_a_supernet_of_sampled_paths_has_absent_exits_and_exits_without_layers(monkeypatch):
    seen = set()
    original = oneshot.SampledExit.forward

    def watch(self, x):
        logits = original(self, x)
        depth = self.branch[0]._sampled
        seen.add((logits is None, depth))
        return logits

    monkeypatch.setattr(oneshot.SampledExit, "forward", watch)
    space = search_spaces.create("digits")
    best = search(space, strategy.RandomOneShot())
    # depth 1 is the part of a branch that is always there
    assert {absent for absent, _ in seen} == {True, False}
    assert {depth for _, depth in seen} == {1, 2, 3, 4}
    assert search_spaces.create("digits").freeze(best).exit_costs


@pytest.mark.slow
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", ["DARTS", pytest.param("GumbelDARTS", marks=pytest.mark.long), "Proxyless"])
def test_a_differentiable_strategy_searches_layers_and_depth_of_exits_that_are_fixed(name):
    space = search_spaces.create("digits fixed_exits=0,2 banned_exits=1")
    best = search(space, getattr(strategy, name)(), batch_size=256)
    network = search_spaces.create("digits fixed_exits=0,2 banned_exits=1").freeze(best)
    assert network.exit_stages == (0, 2, 3)


@pytest.mark.parametrize("name", ["DARTS", "GumbelDARTS", "Proxyless"])
def test_a_differentiable_strategy_says_that_it_cannot_decide_whether_an_exit_is_there(name):
    with pytest.raises(
        ValueError, match="exit0_present: a differentiable strategy cannot decide .* fixed_exits or banned"
    ):
        getattr(strategy, name)().mutate_model(search_spaces.create("digits"))


@pytest.mark.usefixtures("home")
def test_enas_trains_its_controller():
    pytest.importorskip("tianshou", reason="ENAS needs the extra 'rl'")
    space = search_spaces.create("digits")
    best = search(space, oneshot.ENAS(reward_metric_name="default", batches_per_update=2))
    assert search_spaces.create("digits").freeze(best).exit_costs


def test_every_batch_says_which_loader_it_is_from():
    batches = oneshot._NamedBatches({"train": [1, 2], "val": [3]})
    assert list(batches) == [(1, "train"), (2, "train"), (3, "val")]
    assert len(batches) == 3
