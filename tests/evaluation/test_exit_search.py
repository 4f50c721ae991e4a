"""Exits for a given network, found in a bank of branches."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from nni_earlyexit import EarlyExitEvaluator, EarlyExitNetwork, ThresholdOptimizer, search_spaces
from nni_earlyexit.bank import front as bank_fronts
from nni_earlyexit.bank.front import bank_front
from nni_earlyexit.bank.known_front import known_samples
from nni_earlyexit.evaluation.exit_search import find_exits, open_bank
from nni_earlyexit.evaluation.from_bank import evaluate_in_bank
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.report.exits_report import exits_report
from nni_earlyexit.search.goal import Goal
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.training.settings import Settings


@pytest.fixture
def space(trained_digits):
    return search_spaces.create("trained", folder=str(trained_digits))


@pytest.fixture
def opened(space, tmp_path):
    settings = Settings.from_options(epochs=2, threads=1, max_drop=0.05)
    return open_bank(space, settings, tmp_path / "bank"), settings


def test_the_chosen_network_is_a_trial_that_can_be_loaded(opened, tmp_path):
    bank, settings = opened
    said = []
    found = find_exits(bank, settings, tmp_path / "net", count=6, say=said.append)
    assert "trains 6 branches, 2 passes each" in said[0]
    network = EarlyExitNetwork.load(tmp_path / "net")
    assert len(network.predict(bank.data.calibration.raw(slice(4)).numpy()).classes) == 4
    assert (network.exit_costs[-1], len(found.stages)) == (found.member.full_macs, len(network.exits) - 1)
    accuracy, cost = found.promised
    assert accuracy >= found.front.last_accuracy - 0.05
    point = found.front.points[found.front.pick(settings.goal)]
    assert (point.accuracy, point.avg_cost) == pytest.approx((accuracy, cost))
    known = known_samples(bank.folder, bank.space.identity(), 100)
    assert network.sample in known
    assert len(known_samples(bank.folder, bank.space.identity(), 2)) <= 2
    assert known_samples(bank.folder, "digits/2", 2) == []
    loaded = EarlyExitNetwork.load(tmp_path / "net")
    assert loaded.policy == found.member.policy  # what was judged is what is used
    report = exits_report(found)
    assert "the backbone's own" in report
    assert f"{found.kept[0]:.2%}" in report
    again = find_exits(bank, settings, tmp_path / "again", count=6, say=said.append)
    assert again.promised == found.promised
    assert any("its 6 branches were trained before" in line for line in said)


def test_the_front_is_that_of_all_combinations(opened, monkeypatch):
    bank, _ = opened
    branches = [
        bank.train(bank.branches.branch(stage, {label: values[0] for label, values in choices.items()} | head))
        for stage in bank.branches.stages[:2]
        for choices in [bank.branches.domain(stage).choices]
        for head in [{}, {f"exit{stage}_head": "catavgmax"}]
    ]
    front = bank_front(bank, branches, Goal())
    assert (front.possible, front.searched) == (9, 9)
    labels = bank.data.validation.y.numpy()
    points = []
    for first, second in itertools.product([None, *branches[:2]], [None, *branches[2:]]):
        chosen = [stored for stored in (first, second) if stored is not None]
        costs, own = bank.costs(chosen)
        fitted = ThresholdOptimizer().fit(bank.logits(chosen), labels, costs, branch_costs=own)
        points += [(point.avg_cost, -point.accuracy) for point in fitted.front_]
    for cost, loss in points:
        assert any(p.avg_cost <= cost and -p.accuracy <= loss for p in front.points)
    monkeypatch.setattr(bank_fronts, "MAX_SEARCHED", 0)
    valued = bank_front(bank, branches, Goal())
    assert (valued.valued, valued.possible) == (9, 9)
    best = [max(p.accuracy - 1e-7 * p.avg_cost for p in own.points) for own in (front, valued)]
    assert best[1] == pytest.approx(best[0], abs=2e-3)


def test_a_network_of_the_bank_is_measured_as_it_would_be_when_it_runs(opened, rng):
    bank, settings = opened
    sample = bank.space.sample(rng)
    first, second = (evaluate_in_bank(bank, sample, settings) for _ in range(2))
    assert first.metrics["new_branches"] == len(first.network.exits) - 1
    assert second.metrics["new_branches"] == 0
    assert {**first.metrics, "new_branches": 0, "train_seconds": 0} == {**second.metrics, "train_seconds": 0}
    assert first.metrics["sample"] == sample
    exits = np.stack([first.validation.logits.argmax(axis=-1) == first.validation.labels[:, None]]).mean(axis=(0, 1))
    assert first.metrics[f"exit{first.network.exit_stages[-1]}_accuracy"] == pytest.approx(exits[-1])


def test_a_network_that_misses_a_limit_trains_nothing(space, tmp_path, rng):
    settings = Settings.from_options(epochs=2, max_full_macs=10)
    bank = open_bank(space, settings, tmp_path / "bank")
    result = evaluate_in_bank(bank, space.sample(rng), settings)
    assert (result.metrics["feasible"], result.metrics["new_branches"], bank.trained()) == (0, 0, [])


def test_limits_hold_and_where_nothing_keeps_them_it_is_said(opened, tmp_path):
    bank, settings = opened
    find_exits(bank, settings, tmp_path / "any", count=6, say=lambda line: None)
    full = bank.backbone_macs[-1]
    for limit, message in ((full + 1, None), (10, "^max_full_macs: 10 is below the cheapest network of space trained")):
        limited = replace(settings, limits=Limits(max_full_macs=limit))
        if message is None:
            found = find_exits(bank, limited, tmp_path / str(limit), count=6, say=lambda line: None)
            assert found.member.full_macs <= limit
        else:
            with pytest.raises(ValueError, match=message):
                find_exits(bank, limited, tmp_path / str(limit), count=6, say=lambda line: None)
            assert not (tmp_path / str(limit)).exists()


def test_limits_that_no_network_keeps_are_known_before_any_branch_is_trained(opened, tmp_path):
    bank, settings = opened
    limited = replace(settings, limits=Limits(max_params=10))
    with pytest.raises(ValueError, match=r"^max_params: 10 is below the cheapest network"):
        find_exits(bank, limited, tmp_path / "net", count=3, say=lambda line: None)
    assert bank.trained() == []


def test_points_that_are_slower_than_the_limit_are_not_on_the_front(opened, table_of_macs):
    bank, _ = opened
    branches = [
        bank.train(bank.branches.branch(stage, {label: values[0] for label, values in choices.items()}))
        for stage in bank.branches.stages[:1]
        for choices in [bank.branches.domain(stage).choices]
    ]
    table = str(table_of_macs(bank.space))
    free = bank_front(bank, branches, Goal(), Limits(latency_table=table))
    limit = 1e-9 * np.median([point.avg_cost for point in free.points])
    front = bank_front(bank, branches, Goal(), Limits(latency_table=table, max_latency_s=limit))
    assert 0 < len(front.points) < len(free.points)
    assert max(point.avg_cost for point in front.points) * 1e-9 <= limit * (1 + 1e-9)


def test_another_network_is_not_overwritten(opened, trained_digits):
    bank, settings = opened
    with pytest.raises(ValueError, match="holds another network"):
        find_exits(bank, settings, trained_digits, count=3, say=lambda line: None)
    assert bank.trained() == []


def test_the_splits_of_the_backbone_stay(space, tmp_path):
    with pytest.raises(ValueError, match="seed: 1 splits the data otherwise than 0, that of the backbone"):
        open_bank(space, Settings.from_options(seed=1), tmp_path / "bank")
    with pytest.raises(ValueError, match=r"validation_share: 0.3 is not that of the backbone, None"):
        open_bank(space, Settings.from_options(validation_share=0.3), tmp_path / "bank")


def test_they_stay_for_a_training_of_one_network_and_in_a_search_without_a_bank(space, tmp_path, rng):
    sample, sentence = space.sample(rng), "seed: 1 splits the data otherwise than 0, that of the backbone"
    with pytest.raises(ValueError, match=sentence):
        train_one(space, sample, Settings.from_options(seed=1), tmp_path / "net", lambda line: None)
    assert not (tmp_path / "net").exists()
    with pytest.raises(ValueError, match=sentence):
        EarlyExitEvaluator(epochs=1, seed=1).evaluate(space.freeze(sample))


def test_a_data_set_is_the_same_by_each_of_its_names(tmp_path, digits_space, two_exits):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((90, 1, 8, 8)), y=np.arange(90) % 10)
    settings = Settings.from_options(data=str(tmp_path / "x.npz"), epochs=1, threads=1, tensorboard=False)
    train_one(digits_space, two_exits, settings, tmp_path / "backbone", lambda line: None)
    space = search_spaces.create("trained", folder=str(tmp_path / "backbone"))
    with pytest.raises(ValueError, match="seed: 1 splits the data otherwise than 0"):
        open_bank(space, Settings.from_options(data=f"npz:{tmp_path / 'x.npz'}", seed=1), tmp_path / "bank")


def test_data_that_became_more_since_the_backbone_was_trained_are_refused(tmp_path, digits_space, two_exits):
    x, y = np.random.default_rng(0).random((120, 1, 8, 8)), np.arange(120) % 10
    np.savez(tmp_path / "x.npz", x=x[:90], y=y[:90])
    settings = Settings.from_options(data=str(tmp_path / "x.npz"), epochs=1, threads=1, tensorboard=False)
    train_one(digits_space, two_exits, settings, tmp_path / "backbone", lambda line: None)
    space = search_spaces.create("trained", folder=str(tmp_path / "backbone"))
    open_bank(space, settings, tmp_path / "bank")
    np.savez(tmp_path / "x.npz", x=x, y=y)
    with pytest.raises(ValueError, match="is not as it was when the backbone was trained; its validation split is"):
        open_bank(space, settings, tmp_path / "bank")
    np.savez(tmp_path / "other.npz", x=2 * x, y=y)
    others = replace(settings, data=replace(settings.data, source=f"npz:{tmp_path / 'other.npz'}"))
    with pytest.raises(ValueError, match="is normalised otherwise than when the backbone was trained"):
        open_bank(space, others, tmp_path / "other-bank")


def test_words_keep_the_numbers_that_the_backbone_knows(tmp_path, rng):
    def written(name, words):
        lines = "\n".join(f"{words[i % 2]} {i % 7}\t{i % 2}" for i in range(80))
        (tmp_path / name).write_text(f"sentence\tlabel\n{lines}\n")
        return Settings.from_options(data=f"tsv:{tmp_path / name}", tokens=8, epochs=1, threads=1, tensorboard=False)

    text = search_spaces.create("text", tokens=8, channels=8)
    train_one(text, text.sample(rng), written("a.tsv", ("good", "bad")), tmp_path / "backbone", lambda line: None)
    space = search_spaces.create("trained", folder=str(tmp_path / "backbone"))
    with pytest.raises(
        ValueError, match="the words of '.*b.tsv' have other numbers than when the backbone was trained"
    ):
        open_bank(space, written("b.tsv", ("fine", "poor")), tmp_path / "bank")


def test_a_training_of_one_network_takes_no_bank(digits_space, two_exits, tmp_path):
    with pytest.raises(ValueError, match="bank: it is for trials"):
        train_one(digits_space, two_exits, Settings.from_options(bank="b"), tmp_path / "net")


def test_a_branch_that_diverges_is_left_out(opened, tmp_path, monkeypatch):
    bank, settings = opened
    original = bank.train

    def train(branch, goes_on=None):
        if len(bank.trained()) == 1 and not failed:
            failed.append(branch)
            raise FloatingPointError("the loss is nan")
        return original(branch, goes_on)

    failed, said = [], []
    monkeypatch.setattr(bank, "train", train)
    find_exits(bank, settings, tmp_path / "net", count=6, say=said.append)
    assert any("left out" in line and "the loss is nan" in line for line in said)
    assert failed[0] not in {own.branch for own in bank.trained()}


@pytest.mark.parametrize("confidence", ["margin", "patience"])
def test_other_measures_choose_too(opened, tmp_path, confidence, monkeypatch):
    bank, settings = opened
    monkeypatch.setattr(bank_fronts, "MAX_SEARCHED", 0)  # combinations are valued, too
    measured = replace(settings, goal=replace(settings.goal, confidence=confidence))
    found = find_exits(bank, measured, tmp_path / "net", count=6, say=lambda line: None)
    assert found.member.policy.confidence == confidence
    assert found.front.valued > 0
