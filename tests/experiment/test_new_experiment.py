"""The files that ``init`` writes: they pass the check, hold what was asked for once, and are written whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from images import class_folders
from nni_earlyexit.data.outline import Outline
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.experiment import new_experiment
from nni_earlyexit.experiment.config import check
from nni_earlyexit.experiment.new_experiment import Plan, check_budget, draft, settings_of, write
from nni_earlyexit.search.limits import Limits


def plan(source="digits", space="digits", limits=None, epochs=3, **options):
    return Plan(settings_of(DataSettings(source), Limits(**(limits or {})), epochs), space, **options)


@pytest.fixture(scope="module")
def digits_draft():
    return draft(plan(limits={"max_avg_macs": 600e3}, trials=7, time="2h", concurrency=3))


def test_the_file_for_digits_passes_the_check_with_what_was_asked_for(digits_draft, tmp_path):
    checked = check(write(digits_draft, tmp_path / "new"))
    assert checked.settings == digits_draft.plan.settings
    assert (checked.max_trials, checked.max_seconds, checked.concurrency) == (7, 7200, 3)
    assert checked.space == "digits"


@pytest.mark.slow
def test_resolution_and_classes_follow_a_folder_of_images(tmp_path):
    images = class_folders(tmp_path / "my images: 1", ("a", "b", "c"), 20, size=(60, 64))
    wanted = plan(f"folder:{images}", "mobilenetv3 halvings=5 width=0.5", {"max_full_macs": 15e6})
    checked = check(write(draft(wanted), tmp_path / "new"))
    assert checked.settings.data.source == f"folder:{images}"
    space = json.loads((tmp_path / "new" / "search_space.json").read_text())["space"]["_value"]
    assert space == ["mobilenetv3/1 halvings=5 num_classes=3 resolution=64 width=0.5"]


def test_the_file_for_own_arrays_passes_the_check(tmp_path, rng):
    x, y = rng.integers(0, 256, (120, 8, 8, 1), dtype=np.uint8), np.arange(120) % 3
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    checked = check(write(draft(plan(f"npz:{tmp_path / 'mine.npz'}", time="10m", trials=None)), tmp_path / "new"))
    assert (checked.max_trials, checked.max_seconds) == (None, 600)


def test_each_limit_stands_once_and_comments_say_the_range(digits_draft):
    lines = digits_draft.experiment().splitlines()
    fields = yaml.safe_load(digits_draft.experiment())
    assert [line.count("max-avg-macs") for line in lines if not line.startswith("#") and "max-avg-macs" in line] == [1]
    assert "max_avg_macs" not in str(fields["tuner"])
    assert "space" not in fields["tuner"]["classArgs"]
    assert any("89.2k to 4.93M MACs to the last exit" in line for line in lines if line.startswith("#"))


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (
            {"max_full_macs": 10e3},
            "max_full_macs: 10k is below the cheapest network .*; its networks take 89.2k to 4.93M MACs",
        ),
        (
            {"max_avg_macs": 10e6},
            "max_avg_macs: 10M is above the dearest network .* so it limits nothing; .* 89.2k to 4.93M MACs",
        ),
        ({"max_params": 10}, "max_params: 10 is below the cheapest network"),
    ],
)
def test_a_budget_outside_of_the_space_is_said_with_its_range(digits_draft, limits, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_budget(digits_draft.space, digits_draft.reach, Limits(**limits))


def test_a_limit_on_latency_is_that_of_a_table(tmp_path, digits_space, table_of_macs):
    table = str(table_of_macs(digits_space))
    limits = {"latency_table": table, "max_latency_s": 500e-6}
    checked = check(write(draft(plan(limits=limits)), tmp_path / "new"))
    assert checked.settings.limits.max_latency_s == 500e-6
    with pytest.raises(ValueError, match="^max_latency_s: .* is below the cheapest network"):
        draft(plan(limits={**limits, "max_latency_s": 1e-9}))


def test_data_that_the_space_does_not_take_are_said(tmp_path, rng):
    np.savez(tmp_path / "grey.npz", x=rng.integers(0, 256, (60, 12, 12, 1), dtype=np.uint8), y=np.arange(60) % 2)
    with pytest.raises(
        ValueError, match=r"data: .* has inputs \(1, 12, 12\) of 2 classes, the network takes \(1, 8, 8\) of 2"
    ):
        draft(plan(f"npz:{tmp_path / 'grey.npz'}"))
    with pytest.raises(FileNotFoundError, match="data: there is no file"):
        draft(plan(f"npz:{tmp_path / 'none.npz'}"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"strategy": "surogate"}, "strategy: 'surogate' is unknown; did you mean 'surrogate'?"),
        ({"trials": None}, "trials: a search without an end is not possible; give trials, time, or both"),
        ({"trials": 0}, "trials: 0 is not possible; a whole number from 1 is"),
        ({"time": "soon"}, "'soon' is not a duration"),
    ],
)
def test_a_plan_that_cannot_be_is_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        plan(**options)


def test_nothing_is_written_over_unless_it_is_wished(digits_draft, tmp_path):
    path = write(digits_draft, tmp_path)
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="experiment.yml' is there already; --force writes over it"):
        write(digits_draft, tmp_path)
    assert path.read_text() == "mine"
    write(digits_draft, tmp_path, force=True)
    assert path.read_text() != "mine"


def test_a_disk_that_is_full_leaves_nothing(digits_draft, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(new_experiment.files, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        write(digits_draft, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_signs_of_yaml_stays_what_it_is(digits_draft):
    made = replace(digits_draft, plan=plan(limits={"max_avg_macs": 123457}, name="my: # 1"))
    fields = yaml.safe_load(made.experiment())
    assert fields["experimentName"] == "my: # 1"
    assert "--max-avg-macs 123457" in fields["trialCommand"]


@pytest.mark.parametrize(
    ("source", "seen", "space"),
    [
        ("digits", Outline(8, None, 10), "digits"),
        ("folder:images", Outline(8, None, 10), "mobilenetv3"),
        ("folder:images", Outline(200, None, 3), "mobilenetv3"),
        ("tsv:films.tsv", Outline(None, 64, 2), "text"),
    ],
)
def test_the_space_to_begin_with_is_one_for_such_inputs(source, seen, space):
    assert new_experiment.fitting_space(DataSettings(source), seen) == space
