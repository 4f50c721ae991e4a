"""Our strategy in a NasExperiment, in this process: NNI's sequential engine."""

from __future__ import annotations

import pytest
from nni.nas.experiment import NasExperiment
from nni.nas.experiment.config import NasExperimentConfig
from nni.nas.strategy.middleware import Chain, Filter
from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.evaluator import EarlyExitEvaluator
from nni_earlyexit.middleware import MultipleEvaluation
from nni_earlyexit.nas_strategy import SearchStrategy


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


def run(space, strategy, trials=2, **arguments):
    experiment = NasExperiment(space, EarlyExitEvaluator(epochs=1, batch_size=256, **arguments), strategy)
    experiment.config = NasExperimentConfig("sequential", "simplified", "local")
    experiment.config.max_trial_number = trials
    experiment.run(port=None)
    experiment.stop()


def results(strategy):
    return [trial for trial in strategy.strategy.trials.values() if trial.losses is not None]


def test_a_space_of_nnis_hub_is_searched_for_accuracy_and_macs():
    from nni.nas.hub.pytorch import NasBench201

    strategy = SearchStrategy(strategies.create("nsga2", population_size=2))
    run(NasBench201(num_labels=10), strategy, input_shape=(3, 8, 8))
    assert len(results(strategy)) == 2
    assert all(macs > 0 > -accuracy for accuracy, macs in ((-t.losses[0], t.losses[1]) for t in results(strategy)))


def test_a_filter_around_it_keeps_networks_from_being_trained():
    space = search_spaces.create("digits")
    strategy = SearchStrategy(strategies.create("random"))
    run(space, Chain(strategy, Filter(lambda model: space.exit_costs(model.sample)[-1] < 0.9e6)))
    assert len(results(strategy)) == 2
    assert all(space.exit_costs(trial.sample)[-1] < 0.9e6 for trial in results(strategy))
    assert any(trial.losses is None for trial in strategy.strategy.trials.values())


def test_a_network_can_be_evaluated_several_times():
    strategy = SearchStrategy(strategies.create("random"))
    run(search_spaces.create("digits"), Chain(strategy, MultipleEvaluation(2)), trials=2)
    assert len(results(strategy)) == 1
    assert search_spaces.create("digits").freeze(results(strategy)[0].sample).exit_costs
