"""Networks as people ask for them."""

from __future__ import annotations

import json
import re
import shutil
from types import SimpleNamespace

import pytest
from nni_earlyexit.deploy import Wish
from nni_earlyexit.deploy.pick import picked_network
from nni_earlyexit.runtime import Bundle
from nni_earlyexit.training.settings import Settings


def trial(name, accuracy, macs, **metrics):
    front = {"accuracy": accuracy, "avg_macs": macs}
    return SimpleNamespace(folder=SimpleNamespace(name=name), metrics={"front": front, "params": 1000, **metrics})


TRIALS = [
    trial("small", [0.5, 0.7], [1e6, 2e6], full_macs=3e6),
    trial("large", [0.6, 0.9], [2.5e6, 6e6], full_macs=8e6),
]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("max accuracy", "large"),
        ("max accuracy, avg_macs <= 2.5M", "small"),
        ("min avg_macs, accuracy >= 80%", "large"),
        ("min avg_macs, accuracy >= 0.6", "small"),
        ("max accuracy, full_macs<=5M", "small"),
        ("min full_macs, accuracy >= 0.6, params <= 1k", "small"),
    ],
)
def test_the_best_within_limits(text, name):
    assert Wish.parse(text).pick(TRIALS).folder.name == name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "max accuracy, avg_macs <= 2,5M",
            "pick: '5M' is not possible; an example is 'max accuracy, avg_macs <= 2.5M'",
        ),
        ("max acuracy", "pick: 'acuracy' is unknown.*accuracy"),
        ("min accuracy", "pick: of accuracy, the other direction is better; write max ... or >="),
        ("max accuracy, avg_macs >= 2M", "pick: of avg_macs, the other direction is better; write min ... or <="),
        ("avg_macs <= 2M", "pick: 'avg_macs <= 2M' does not begin with what should be best"),
        ("max accuracy, avg_macs <= much", "pick: 'much' is not a number"),
    ],
)
def test_what_cannot_be_asked_is_said(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Wish.parse(text)


def test_names_are_no_wishes():
    assert Wish.parse("1") is None
    assert Wish.parse("best:1") is None
    assert Wish.parse("Vqn3xL1z") is None


def test_limits_that_none_keeps_say_how_near_one_comes():
    with pytest.raises(ValueError, match="pick: no network is within the limits; the best of each is accuracy 0.9"):
        Wish.parse("min avg_macs, accuracy >= 95%").pick(TRIALS)


def test_a_trial_without_points_is_no_candidate():
    assert Wish.parse("max accuracy").pick([trial("none", [], []), *TRIALS]).folder.name == "large"
    with pytest.raises(ValueError, match="pick: there is no finished trial within the limits of the search"):
        Wish.parse("max accuracy").pick([])


def test_cutoffs_are_fitted_for_what_was_asked(tmp_path):
    given = Settings.from_options(max_avg_macs=9e6, max_drop=0.01)
    budget = Wish.parse("max accuracy, avg_macs <= 2M").settings(given)
    assert (budget.operating_point.max_cost, budget.operating_point.tolerance) == (2e6, 0.0)
    shared = Settings.from_options(cutoffs="shared", drop_exits=False, confidence="margin")
    for wanted in ("max accuracy", "min avg_macs, accuracy >= 80%"):
        goal = Wish.parse(wanted).settings(shared).goal
        assert (goal.cutoffs, goal.drop_exits, goal.confidence) == ("shared", False, "margin")
    (tmp_path / "table.json").touch()
    timed = Settings.from_options(latency_table=str(tmp_path / "table.json"))
    assert Wish.parse("max accuracy, latency_s <= 0.002").settings(timed).limits.max_latency_s == 0.002
    assert Wish.parse("min avg_macs").settings(given).operating_point.min_accuracy == 0.0
    assert Wish.parse("min full_macs, accuracy >= 80%").settings(given).operating_point.min_accuracy == 0.8
    accurate = Wish.parse("min avg_macs, accuracy >= 80%").settings(given)
    assert (accurate.operating_point.min_accuracy, accurate.operating_point.max_cost) == (0.8, 9e6)


def test_one_network_is_its_folder(trial):
    chosen, settings = picked_network(str(trial.folder), None)
    assert (chosen.folder, settings) == (trial.folder, trial.settings)
    with pytest.raises(ValueError, match="pick: '3' is for an experiment"):
        picked_network(str(trial.folder), "3")


def test_the_command_writes_a_bundle(trial, tmp_path, call):
    experiment = tmp_path / "experiment"
    place = experiment / "environments" / "local-env" / "trials" / "Abc12"
    shutil.copytree(trial.folder, place)
    words = [
        "export",
        str(experiment),
        "--pick",
        "max accuracy, avg_macs <= 10M",
        "--out",
        str(tmp_path / "out"),
        "--onnx",
    ]
    code, said, errors = call(*words)
    assert code == 0, errors
    bundle = Bundle.load(tmp_path / "out")
    assert f"{bundle.fit().test['accuracy']:.2%}" in said
    assert "at most 10,000,000 average MACs" in bundle.fit().fitted_to["goal"]
    assert json.loads((tmp_path / "out" / "architecture.json").read_text())["space"] == "digits/2"
    assert bundle.file("onnx/nested.onnx").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere", "--out", "OUT"], "experiment: 'nowhere' is unknown"),
        (["TRIAL", "--out", "TRIAL"], "out: .* holds something else than a bundle; choose another folder"),
        (["TRIAL", "--out", "OUT", "--pick", "best accuracy"], "pick: 'best accuracy' is for an experiment"),
    ],
)
def test_bad_input_ends_with_one_sentence(trial, tmp_path, words, sentence, call):
    named = {"OUT": str(tmp_path / "out"), "TRIAL": str(trial.folder)}
    code, _, said = call("export", *(named.get(word, word) for word in words))
    assert code == 2
    assert len(said.strip().splitlines()) == 1
    assert re.search(sentence, said)
    assert not (tmp_path / "out").exists()
