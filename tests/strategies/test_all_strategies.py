"""What holds for every strategy; a new file in strategies/ is found by itself."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from nni_earlyexit import strategies
from nni_earlyexit.search.ask_tell import Exhausted
from nni_earlyexit.search.domain import Domain, key

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


def test_networks_that_no_single_change_leads_to_are_proposed_too(name):
    choices = {f"x{i}": [0, 1] for i in range(6)}
    islands = [dict.fromkeys(choices, value) for value in (0, 1)]
    strategy = strategies.create(name, seed=0)
    strategy.start(Domain(choices, excess=lambda sample: float(min(sum(sample.values()), 6 - sum(sample.values())))))
    assert {key(strategy.ask()) for _ in islands} == {key(island) for island in islands}
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


BINARY = {f"x{i}": [0, 1, 2] for i in range(8)}


def whole_front(sample):
    """Three points of a network."""
    cost = 1 + sum(sample.values())
    points = [(math.sqrt(cost * share) / 5, 1e5 * cost * share) for share in (0.25, 0.5, 1)]
    accuracy, avg_macs = map(list, zip(*points, strict=True))
    return {"accuracy": accuracy[1], "avg_macs": avg_macs[1], "front": {"accuracy": accuracy, "avg_macs": avg_macs}}


def run(strategy, trials, waiting=3):
    """Ask and tell with some samples always out, one in seven failing; what was asked."""
    asked, out = [], []
    for i in range(trials):
        out.append(strategy.ask())
        asked.append(out[-1])
        if len(out) > waiting:
            done = out.pop(0)
            strategy.tell(done, None if i % 7 == 3 else whole_front(done))
    return asked


def test_a_state_is_json_from_which_the_same_proposals_follow(name):
    strategy = strategies.create(name, seed=5)
    strategy.start(Domain(BINARY, name="binary/1"))
    run(strategy, 45)
    strategy.ask()  # what it has prepared for the next ones must come back too
    state = json.dumps(strategy.state_dict(), allow_nan=False)
    restored = strategies.create(name, seed=99)
    restored.start(Domain(BINARY, name="binary/1"))
    restored.load_state_dict(json.loads(state))
    assert restored.trials == strategy.trials
    assert restored.front() == strategy.front()
    assert run(restored, 15) == run(strategy, 15)


@pytest.mark.parametrize("part", ["trials", "pending"])
def test_a_state_with_a_network_of_another_space_is_refused(name, part):
    strategy = strategies.create(name)
    strategy.start(Domain(BINARY, name="binary/1"))
    run(strategy, 7)
    state = json.loads(json.dumps(strategy.state_dict()))
    sample = state["trials"][2][0] if part == "trials" else state["pending"][0]
    sample[next(iter(sample))] = "else"
    with pytest.raises(ValueError, match="sample: .*='else' is not possible"):
        strategy.load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 0}, "state: it is of version 0, not of 3"),
        ({"space": "digits/1"}, "state: it is of space 'digits/1', not of 'binary/1'"),
        ({"choices": {}}, "state: it is of choices others than those of the space"),
        ({"strategy": "other"}, "state: it is of strategy 'other', not of"),
        ({"objectives": {"params": "min"}}, "state: it is of objectives .*'params'.*, not of"),
    ],
)
def test_another_state_is_refused_and_changes_nothing(name, change, sentence):
    strategy = strategies.create(name)
    strategy.start(Domain(BINARY, name="binary/1"))
    run(strategy, 6)
    before = strategy.state_dict()
    with pytest.raises(ValueError, match=sentence):
        strategy.load_state_dict({**before, **change})
    assert strategy.state_dict() == before


def test_a_network_counts_with_its_whole_front(name):
    cheap, dear = ({f"x{i}": value for i in range(8)} for value in (0, 1))
    for whole, points in ((True, 6), (False, 2)):
        strategy = strategies.create(name, whole_fronts=whole)
        strategy.start(Domain(BINARY))
        for sample in (cheap, dear):
            strategy.tell(sample, whole_front(sample))
        assert len(strategy.archive.points) == points
        assert [trial.sample for trial in strategy.front()] == [cheap, dear]


def test_any_number_of_objectives_can_be_searched(name):
    for objectives in (
        {"accuracy": "max"},
        {"accuracy": "max", "avg_macs": "min", "params": "min", "full_macs": "max"},
    ):
        strategy = strategies.create(name, objectives=objectives)
        strategy.start(Domain(BINARY))
        for _ in range(30):
            sample = strategy.ask()
            strategy.tell(sample, {**whole_front(sample), "params": sample["x0"], "full_macs": sample["x1"]})
        assert strategy.archive.points.shape[1] == len(objectives)


def test_the_initial_set_is_proposed_first(name):
    initial = [{f"x{i}": value for i in range(8)} for value in (2, 1)]
    strategy = strategies.create(name, initial=[*initial, initial[0]])
    strategy.start(Domain(BINARY))
    asked = run(strategy, 5)
    assert asked[:2] == initial
    assert len({key(sample) for sample in asked}) == 5


def test_an_initial_sample_of_another_space_is_refused(name):
    strategy = strategies.create(name, initial=[{"x0": 7}])
    with pytest.raises(ValueError, match="initial: sample: x0=7 is not possible; it can be 0, 1, 2"):
        strategy.start(Domain(BINARY))


def test_a_result_of_another_space_is_refused_and_changes_nothing(strategy):
    with pytest.raises(ValueError, match="sample: depth=9 is not possible; it can be 1, 2, 3"):
        strategy.tell({**CHOICES, "depth": 9}, None)
    with pytest.raises(ValueError, match="sample: 'block0' is missing"):
        strategy.tell({"depth": 1}, None)
    assert strategy.trials == {}


def test_numbers_that_json_wrote_otherwise_are_the_same_network(name):
    strategy = strategies.create(name)
    strategy.start(Domain({"ratio": [1.0, 2.0], "block": ["a", "b"]}))
    asked = strategy.ask()
    strategy.tell({**asked, "ratio": int(asked["ratio"])}, {"accuracy": 0.5, "avg_macs": 1e5})
    assert strategy.pending == {}
    assert strategy.front()[0].sample == asked


def test_a_second_result_takes_the_place_of_the_first(strategy):
    sample = next(iter(NETWORKS.values()))
    strategy.tell(sample, {**metrics(sample), "accuracy": 0.9})
    strategy.tell(sample, {**metrics(sample), "accuracy": 0.2})
    assert [trial.losses[0] for trial in strategy.front()] == [-0.2]
    assert len(strategy.archive.points) == 1


def test_after_a_restart_trials_stand_in_the_same_order_whatever_was_told_again(strategy, name):
    for sample in (first := list(NETWORKS.values())[:3]):
        strategy.tell(sample, metrics(sample))
    changes = [json.loads(json.dumps(strategy.state_dict()))]
    strategy.tell(first[0], {**metrics(first[0]), "accuracy": 0.2})
    state = {**changes[0], "trials": [*changes[0]["trials"], strategy.state_dict()["trials"][-1]]}
    restored = strategies.create(name, seed=99)
    restored.start(strategy.domain)
    restored.load_state_dict(state)
    assert list(restored.trials.items()) == list(strategy.trials.items())


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
        ({"size": 3}, "strategy_arguments: .*: 'size' is unknown; known: .*initial"),
    ],
)
def test_bad_arguments_get_one_sentence(name, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        strategies.create(name, **arguments)


def test_an_unknown_strategy_gets_the_nearest_names():
    with pytest.raises(ValueError, match="strategy: 'nsga' is unknown; did you mean 'nsga3' or 'nsga2'"):
        strategies.create("nsga")
