"""Our strategy in a NasExperiment, in this process: NNI's sequential engine."""

from __future__ import annotations

import json

import pytest
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.experiment import NasExperiment
from nni.nas.experiment.config import NasExperimentConfig
from nni.nas.space import ModelStatus, SimplifiedModelSpace
from nni.nas.strategy.middleware import Chain, Filter
from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.integration.evaluator import EarlyExitEvaluator
from nni_earlyexit.integration.middleware import MultipleEvaluation
from nni_earlyexit.integration.nas_strategy import SearchStrategy
from nni_earlyexit.search.domain import key
from nni_earlyexit.search.successive_halving import SuccessiveHalving


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


def run(space, strategy, trials=2, epochs=1, **arguments):
    experiment = NasExperiment(space, EarlyExitEvaluator(epochs=epochs, batch_size=256, **arguments), strategy)
    experiment.config = NasExperimentConfig("sequential", "simplified", "local")
    experiment.config.max_trial_number = trials
    try:
        experiment.run(port=None)
    finally:
        experiment.stop()


def initialized(strategy, **arguments):
    """A strategy that could run now."""
    space = SimplifiedModelSpace.from_model(search_spaces.create("digits"), EarlyExitEvaluator(**arguments))
    strategy.initialize(space, SequentialExecutionEngine())
    return strategy


def results(strategy):
    return [trial for trial in strategy.strategy.trials.values() if trial.losses is not None]


def test_a_space_of_nnis_hub_is_searched_for_accuracy_and_macs_and_says_that_it_has_no_exits(caplog):
    from nni.nas.hub.pytorch import NasBench201

    strategy = SearchStrategy(strategies.create("nsga2", population_size=2))
    run(NasBench201(num_labels=10), strategy, input_shape=(3, 8, 8))
    assert "NasBench201 has no early exits: each of its networks has its last exit only" in caplog.text
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


def test_networks_are_stopped_by_successive_halving_and_count_with_what_they_gave():
    strategy = SearchStrategy(strategies.create("random"), halving=SuccessiveHalving(epochs=3, factor=2))
    run(search_spaces.create("digits"), strategy, trials=6, epochs=3)
    reached = strategy.halving.rungs[1]
    assert len(reached) == 6
    stopped = strategy.halving.stopped
    assert stopped
    assert len(stopped) < 6
    for name, (model, metrics) in strategy._finished.items():
        assert metrics["epochs"] == (3 if name not in stopped else 2 if name in strategy.halving.rungs[2] else 1)
        assert len(model.metrics.intermediates) == metrics["epochs"]
        assert strategy.strategy.trials[name].losses == (-metrics["accuracy"], metrics["avg_macs"])
    # the front holds what can be had, of stopped networks too
    assert list(strategy.list_models())


def test_what_successive_halving_knows_is_part_of_the_state():
    first, second = (
        initialized(SearchStrategy(strategies.create("random"), SuccessiveHalving(epochs=3)), epochs=3)
        for _ in range(2)
    )
    first.halving.report("a", 1, {"accuracy": 0.5, "avg_macs": 1e6})
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.halving.rungs == first.halving.rungs


@pytest.mark.parametrize(
    ("epochs", "middleware", "sentence"),
    [
        (4, [], "epochs: 4 is not possible; trials have 3"),
        (3, [MultipleEvaluation(2)], "halving: MultipleEvaluation is not possible together with it; Filter and Dedup"),
    ],
)
def test_halving_that_cannot_work_is_refused_at_the_start(epochs, middleware, sentence):
    strategy = SearchStrategy(strategies.create("random"), SuccessiveHalving(epochs=epochs))
    with pytest.raises(ValueError, match=sentence):
        run(search_spaces.create("digits"), Chain(strategy, *middleware) if middleware else strategy, epochs=3)


def test_an_interrupted_network_is_tried_again_after_resume_and_the_front_is_known(monkeypatch):
    def experiment(id=None):
        strategy = SearchStrategy(strategies.create("random"))
        evaluator = EarlyExitEvaluator(epochs=1, batch_size=256)
        experiment = NasExperiment(search_spaces.create("digits"), evaluator, strategy, id=id)
        experiment.config = NasExperimentConfig("sequential", "simplified", "local")
        experiment.config.max_trial_number = 4
        return experiment, strategy

    evaluate = EarlyExitEvaluator.evaluate

    def interrupted(self, *args):
        if before.strategy.trials:
            raise KeyboardInterrupt
        return evaluate(self, *args)

    first, before = experiment()
    monkeypatch.setattr(EarlyExitEvaluator, "evaluate", interrupted)
    first.run(port=None)
    (pending,) = before.strategy.pending.values()

    second, after = experiment(first.id)
    monkeypatch.setattr(EarlyExitEvaluator, "evaluate", evaluate)
    second.resume(port=None)
    second.stop()
    trained, again, *_ = after.strategy.trials.values()
    assert {key(trained.sample)} == set(before.strategy.trials)
    assert again.sample == pending
    assert all(trial.losses is not None for trial in after.strategy.trials.values())
    front = {key(sample) for sample in second.export_top_models(top_k=9, formatter="dict")}
    assert front == {key(trial.sample) for trial in after.strategy.front()}


def test_what_ends_without_a_result_of_its_own_counts_as_failed(caplog):
    strategy = initialized(SearchStrategy(strategies.create("random")))
    for metrics in (0.9, {"default": 0.9}, {"default": 0.9, "sample": {"depth": 1}, "accuracy": 1, "avg_macs": 1}):
        sample = strategy.strategy.ask()
        model = strategy.model_space.freeze(sample)
        strategy.session.start(model, sample)
        strategy.engine.dispatch_model_event(FinalMetricEvent(model, metrics))
        strategy.engine.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained))
        assert strategy.strategy.trials[key(sample)].losses is None
    assert caplog.text.count("which lacks the metrics of EarlyExitEvaluator") == 3


def test_a_state_of_another_space_is_refused():
    strategy = initialized(SearchStrategy(strategies.create("random")))
    state = strategy.state_dict()
    state["strategy"]["space"] = "digits/1"
    with pytest.raises(ValueError, match="state: it is of space 'digits/1', not of 'digits/2'"):
        strategy.load_state_dict(state)


def test_an_objective_that_the_evaluator_cannot_measure_is_refused_at_the_start():
    strategy = SearchStrategy(strategies.create("random", objectives={"accuracy": "max", "latency_s": "min"}))
    with pytest.raises(ValueError, match="objectives: latency_s needs a latency_table"):
        initialized(strategy)
