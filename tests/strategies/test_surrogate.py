from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from nni_earlyexit import strategies
from nni_earlyexit.search.archive import Archive
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.domain import Domain
from nni_earlyexit.search.hypervolume import Improvement
from nni_earlyexit.search.trials import Trial
from nni_earlyexit.strategies import surrogate
from pymoo.indicators.hv import HV

STAGES = 4
CHOICES = {f"stage{i}_width": [1, 2, 3, 4] for i in range(STAGES)} | {
    f"exit{i}": ["no", "plain", "good"] for i in range(STAGES - 1)
}


def costs(sample):
    """An exit after every stage that has one, the last one always."""
    stages = [i for i in range(STAGES) if i == STAGES - 1 or sample[f"exit{i}"] != "no"]
    spent = np.cumsum([100 * sample[f"stage{i}_width"] for i in range(STAGES)])
    macs = [int(spent[i]) + 30 * n for n, i in enumerate(stages)]
    return ExitCosts(macs, macs, macs, stages=stages)


def metrics(sample):
    """Wide stages before a good exit are worth their cost, at the first two stages most."""
    own = costs(sample)
    worth = np.cumsum([sample[f"stage{i}_width"] ** 0.5 * (3, 2, 1, 0.5)[i] for i in range(STAGES)])
    good = [1.0 if i == STAGES - 1 or sample[f"exit{i}"] == "good" else 0.6 for i in own.stages]
    accuracy = np.maximum.accumulate([1 - np.exp(-0.2 * worth[i] * g) for i, g in zip(own.stages, good, strict=True)])
    front = {"accuracy": accuracy.tolist(), "avg_macs": list(own.macs)}
    return {"accuracy": front["accuracy"][-1], "avg_macs": front["avg_macs"][-1], "front": front}


def started(seed=0, name="surrogate", trials=0, **arguments):
    strategy = strategies.create(name, seed=seed, **arguments)
    strategy.start(Domain(CHOICES, costs=costs))
    for _ in range(trials):
        sample = strategy.ask()
        strategy.tell(sample, metrics(sample))
    return strategy


def hypervolume(strategy):
    return HV(ref_point=np.array([0.0, 1700.0]))(strategy.archive.points)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gaussian_process", "trees", "cross_validated"])
def test_it_needs_fewer_trials_than_search_without_a_model(family):
    ours = np.mean([hypervolume(started(seed, trials=30, family=family)) for seed in range(3)])
    for name in ("random", "nsga2"):
        assert ours > np.mean([hypervolume(started(seed, name, trials=40)) for seed in range(3)])


def test_networks_that_still_run_are_taken_for_what_is_expected_of_them():
    strategy = started(trials=20)
    strategy._draw()
    names = list(strategy._samples)

    def gain(name):
        return strategy._pool.best(strategy._known_points(), lambda other: other == name)[1]

    before = [gain(name) for name in names]
    expected = np.stack([strategy._expected[name] for name in names])
    best = int(np.argmax(Improvement(strategy.archive.points).gains(expected)))
    strategy.pending[names[best]] = strategy._samples[names[best]]
    after = [gain(name) for name in names]
    assert (np.array(after) <= before).all()
    assert after[best] < 0.9 * before[best]


def test_candidates_are_new_and_near_the_front():
    strategy = started(trials=20)

    def near(samples):
        front = [trial.sample for trial in strategy.front()]
        changes = [
            min(sum(sample[label] != other[label] for label in CHOICES) for other in front) for sample in samples
        ]
        return np.mean(np.array(changes) <= 2)

    candidates = strategy._candidates()
    assert all(strategy.is_new(sample) for sample in candidates)
    assert near([strategy.random_sample() for _ in range(200)]) < 0.5 * near(candidates)


def test_the_family_that_ranks_best_is_chosen_again_when_there_is_half_as_much_more_to_learn_from(monkeypatch):
    worth = {"trees": 0.9, "gaussian_process": 0.5}
    monkeypatch.setattr(surrogate, "rank_correlation", lambda name, x, y, seed: worth[name])
    strategy = started(trials=12, family="cross_validated")
    strategy.ask()
    assert strategy.own_state()["family"] == "trees"
    worth["trees"] = 0.1
    chosen = []
    for _ in range(12):
        sample = strategy.ask()
        strategy.tell(sample, metrics(sample))
        chosen.append(strategy.own_state()["family"])
    assert chosen[0] == "trees"
    assert chosen[-1] == "gaussian_process"


def test_models_are_fitted_to_the_front_and_the_latest_trials(monkeypatch):
    monkeypatch.setattr(surrogate, "MAX_FITTED", 10)
    fitted = []
    models = surrogate.Models
    monkeypatch.setattr(
        surrogate, "Models", lambda family, x, y, settings: fitted.append(y) or models(family, x, y, settings)
    )
    strategy = started(trials=40)
    strategy.ask()
    assert 10 <= fitted[-1].shape[1] <= 10 + len(strategy.front())


@pytest.mark.parametrize("family", ["gaussian_process", "cross_validated"])
def test_objectives_that_are_all_known_before_training_are_searched_too(family):
    strategy = strategies.create("surrogate", objectives={"params": "min"}, family=family)
    strategy.start(Domain(CHOICES, costs=costs))
    for _ in range(30):
        sample = strategy.ask()
        strategy.tell(sample, {"params": costs(sample).params[-1]})
    first = [costs(trial.sample).params[-1] for trial in list(strategy.trials.values())[:12]]
    assert costs(strategy.front()[0].sample).params[-1] < min(first)


WIDE = {f"stage{i}_width": [1, 2, 4, 8] for i in range(3)} | {f"exit{i}": ["no", "plain", "good"] for i in range(2)}


def wide_costs(sample):
    """From 100 to 19,260: widths count squared."""
    stages = [i for i in range(3) if i == 2 or sample[f"exit{i}"] != "no"]
    width = [sample[f"stage{i}_width"] for i in range(3)]
    spent = np.cumsum([100 * width[i] * width[max(i - 1, 0)] for i in range(3)])
    macs = [int(spent[i]) + 30 * n for n, i in enumerate(stages)]
    return ExitCosts(macs, macs, macs, stages=stages)


def wide_metrics(sample):
    own = wide_costs(sample)
    worth = np.cumsum([1 + np.log2(sample[f"stage{i}_width"]) for i in range(3)])
    good = [1.0 if i == 2 or sample[f"exit{i}"] == "good" else 0.8 for i in own.stages]
    accuracy = np.maximum.accumulate(
        [0.9 * (1 - np.exp(-worth[i] * g / 6)) for i, g in zip(own.stages, good, strict=True)]
    )
    front = {"accuracy": accuracy.tolist(), "avg_macs": list(own.macs)}
    return {"accuracy": front["accuracy"][-1], "avg_macs": front["avg_macs"][-1], "front": front}


@pytest.mark.parametrize(("widths", "seed"), [([1, 2], 0), ([1, 2], 2), ([4, 8], 0)])
def test_an_end_of_the_front_far_from_all_that_is_known_is_reached(widths, seed):
    every = [dict(zip(WIDE, values, strict=True)) for values in itertools.product(*WIDE.values())]
    true = Archive(2)
    for sample in every:
        front = wide_metrics(sample)["front"]
        true.add("", np.stack([-np.array(front["accuracy"]), front["avg_macs"]], axis=1))
    volume = HV(ref_point=true.points.max(axis=0) * [0.9, 1.1])
    strategy = strategies.create("surrogate", seed=seed)
    strategy.start(Domain(WIDE, costs=wide_costs))
    alike = [s for s in every if all(s[f"stage{i}_width"] in widths for i in range(3)) and s["exit0"] == "no"]
    for i in np.random.default_rng(seed).choice(len(alike), 12, replace=False):
        strategy.tell(alike[i], wide_metrics(alike[i]))
    for _ in range(45):
        sample = strategy.ask()
        strategy.tell(sample, wide_metrics(sample))
    assert volume(strategy.archive.points) > 0.97 * volume(true.points)


def test_the_cheapest_and_the_dearest_network_within_the_limits_are_tried_when_nothing_is_expected(monkeypatch):
    def tried(negligible):
        monkeypatch.setattr(surrogate, "NEGLIGIBLE", negligible)
        strategy = strategies.create("surrogate", seed=3)
        strategy.start(Domain(CHOICES, costs=costs, excess=lambda sample: max(0, costs(sample).macs[-1] - 1000)))
        for _ in range(14):
            sample = strategy.ask()
            strategy.tell(sample, metrics(sample))
        macs = [costs(trial.sample).macs for trial in strategy.trials.values()]
        return min(own[0] for own in macs), max(own[-1] for own in macs)

    assert tried(np.inf) == (100, 1000)
    assert tried(0) != (100, 1000)


def test_when_nothing_is_expected_what_models_know_least_of_is_tried(monkeypatch):
    strategy = started(trials=20)
    monkeypatch.setattr(surrogate, "ends", lambda objectives, domain: [])
    models = strategy._fitted(list(strategy.trials.values()))

    def deviation(negligible):
        monkeypatch.setattr(surrogate, "NEGLIGIBLE", negligible)
        proposals = []
        for seed in range(5):
            strategy.rng = np.random.default_rng(seed)
            proposals.append(strategy.propose())
        return np.nanmax(models.predict(strategy._targets.features(proposals))[1], axis=0).mean()

    assert deviation(np.inf) > 1.2 * deviation(0)


def test_models_serve_several_proposals_when_many_trials_are_known(monkeypatch):
    monkeypatch.setattr(surrogate, "TRIALS_PER_PROPOSAL", 5)
    strategy = started(trials=20)
    fitted = []
    models = surrogate.Models
    monkeypatch.setattr(surrogate, "Models", lambda *arguments: fitted.append(1) or models(*arguments))
    for _ in range(12):
        sample = strategy.ask()
        strategy.tell(sample, metrics(sample))
    assert len(fitted) == 3
    assert len(strategy.trials) == 32  # none was proposed twice


@pytest.mark.slow
def test_few_trials_are_lost_where_models_serve_several_proposals(monkeypatch):
    each = np.mean([hypervolume(started(seed, trials=30)) for seed in range(2)])
    monkeypatch.setattr(surrogate, "TRIALS_PER_PROPOSAL", 3)
    several = np.mean([hypervolume(started(seed, trials=30)) for seed in range(2)])
    assert several > 0.98 * each


def goes_on_alike(strategy, restored, asks):
    """The stored state proposes what the search itself does, the oldest of the networks that run being told each time."""
    restored.load_state_dict(json.loads(json.dumps(strategy.state_dict())))
    for _ in range(asks):
        sample = strategy.ask()
        assert restored.ask() == sample
        oldest = next(iter(strategy.pending.values()))
        for each in (strategy, restored):
            each.tell(oldest, metrics(oldest))


@pytest.mark.parametrize("negligible", [surrogate.NEGLIGIBLE, np.inf])
@pytest.mark.parametrize("trials", [20, 23])
def test_a_restored_state_goes_on_with_the_candidates_that_served(negligible, trials, monkeypatch):
    monkeypatch.setattr(surrogate, "TRIALS_PER_PROPOSAL", 3)
    monkeypatch.setattr(surrogate, "NEGLIGIBLE", negligible)
    monkeypatch.setattr(surrogate, "ends", lambda objectives, domain: [])
    strategy, restored = started(), started(seed=9)
    running = [strategy.ask() for _ in range(3)]
    for _ in range(trials):
        running.append(strategy.ask())
        sample = running.pop(0)
        strategy.tell(sample, metrics(sample))
    assert strategy.own_state()["drawn"] is not None
    goes_on_alike(strategy, restored, 12)


@pytest.mark.parametrize("seed", range(4))
def test_so_does_one_that_began_to_doubt_after_the_front_had_grown(seed, monkeypatch):
    monkeypatch.setattr(surrogate, "TRIALS_PER_PROPOSAL", 3)
    monkeypatch.setattr(surrogate, "ends", lambda objectives, domain: [])
    strategy, restored = started(seed, trials=20), started(seed=9)
    while strategy.own_state()["drawn"] is None or strategy._drawn["proposals"] < 5:
        sample = strategy.ask()
        strategy.tell(sample, metrics(sample))
    every = (dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values()))
    other = next(sample for sample in map(strategy.possible, every) if sample)
    strategy.tell(other, {"accuracy": 0.999, "avg_macs": 5000.0})  # an end of the front
    monkeypatch.setattr(surrogate, "NEGLIGIBLE", np.inf)
    strategy.ask()
    assert strategy.own_state()["drawn"]["doubt"] == surrogate.DOUBT
    goes_on_alike(strategy, restored, 4)


def test_so_does_one_that_was_told_a_network_again(monkeypatch):
    monkeypatch.setattr(surrogate, "TRIALS_PER_PROPOSAL", 3)
    strategy, restored = started(trials=20), started(seed=9)
    while strategy.own_state()["drawn"] is None:
        sample = strategy.ask()
        strategy.tell(sample, metrics(sample))
    first = next(iter(strategy.trials.values())).sample
    strategy.tell(first, metrics(first) | {"accuracy": 0.1, "front": {}})
    goes_on_alike(strategy, restored, 6)


@pytest.mark.parametrize("change", [{"family": "tree"}, {"settings": []}, {"settings": "none"}, {"chosen_at": None}])
def test_what_no_model_can_be_made_with_is_refused_at_once(change):
    strategy = started(trials=14)
    state = json.loads(json.dumps(strategy.state_dict()))
    with pytest.raises((ValueError, LookupError, TypeError)):
        strategy.load_state_dict({**state, "own": {**state["own"], **change}})


def test_a_restored_state_tries_the_ends_too(monkeypatch):
    monkeypatch.setattr(surrogate, "NEGLIGIBLE", np.inf)
    strategy, restored = started(trials=12), started(seed=9)
    goes_on_alike(strategy, restored, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial_random": 3}, "initial_random: 3 is not possible; a whole number from 5 is"),
        ({"candidates": 1.5}, "candidates: 1.5 is not possible; a whole number from 10 is"),
        ({"family": "tree"}, "family: 'tree' is unknown; did you mean 'trees'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        strategies.create("surrogate", **arguments)


def test_models_learn_from_the_networks_that_were_trained_longest():
    strategy = started()
    for epochs in [3, 1, 1, 3, 3, 2] * 5:
        sample = strategy.ask()
        found = metrics(sample)
        if epochs < 3:  # stopped, and far from what it would have become
            found = {"accuracy": 0.1, "avg_macs": found["avg_macs"]}
        strategy.tell(sample, {**found, "epochs": epochs})
    trials = list(strategy.trials.values())
    whole = [trial for trial in trials if trial.epochs == 3]
    x = strategy._targets.features([trial.sample for trial in trials])
    np.testing.assert_array_equal(strategy._fitted(trials).predict(x), strategy._fitted(whole).predict(x))


@pytest.mark.parametrize(
    ("epochs", "kept"),
    [
        ([0] * 20, 20),
        ([3] * 9 + [1] * 20, 9),
        ([1] * 20 + [2] * 5 + [3] * 5, 10),
        ([3] * 7 + [1] * 4, 11),
        ([1] * 4, 4),
        ([50] * 20 + [3] * 99, 20),
        ([50] * 20 + [3, 1] * 50, 70),
    ],
)
def test_shorter_trainings_count_only_where_there_are_too_few_long_ones(epochs, kept):
    trials = [Trial({}, (0.0,), ((0.0,),), 0.0, e) for e in epochs]
    assert len(surrogate.trained_longest(trials)) == kept


@pytest.mark.parametrize("epochs", [None, "3", float("inf"), 1.5])
def test_epochs_that_are_no_whole_number_are_refused(epochs):
    strategy = started()
    sample = strategy.ask()
    with pytest.raises(ValueError, match=r"metrics: epochs: .* is not possible; a whole number from 0 is"):
        strategy.tell(sample, {**metrics(sample), "epochs": epochs})
    assert not strategy.trials
    assert strategy.pending
