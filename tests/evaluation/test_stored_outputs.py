"""Experiments by the names that NNI knows them by."""

from __future__ import annotations

import json

import pytest
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.stored_outputs import experiment_folder, experiments, short_name, source


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """The folder of an experiment elsewhere, and NNI's list of experiments."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "elsewhere" / "abc"
    folder.mkdir(parents=True)
    path = tmp_path / "nni-experiments" / ".experiment"
    (path.parent / "def").mkdir(parents=True)
    path.write_text(json.dumps({"abc": {"logDir": str(folder.parent)}, "gone": {"logDir": "/no/such/place"}}))
    return folder, path


def test_an_experiment_has_its_id_wherever_it_lies(listed):
    folder, path = listed
    assert experiments() == {"abc": folder, "def": path.parent / "def"}
    assert experiment_folder("abc") == folder
    assert short_name(folder) == "abc"


@pytest.mark.parametrize("content", ["", "[]", "{", "3", '{"abc": null}', '{"abc": {"logDir": null}}', "[" * 100_000])
def test_a_list_that_nni_has_not_written_to_its_end_is_passed_over(listed, content):
    folder, path = listed
    path.write_text(content)
    assert experiments() == {"def": path.parent / "def"}
    assert short_name(folder) == str(folder)


def test_a_trial_is_fitted_again_in_the_way_in_which_it_was(experiment):
    goal = record.load(next(experiment.glob("environments/*/trials/a"))).settings.goal
    arguments = source(str(experiment), "a").arguments
    assert {name: arguments[name] for name in ("confidence", "cutoffs", "drop_exits")} == {
        "confidence": goal.confidence,
        "cutoffs": goal.cutoffs,
        "drop_exits": goal.drop_exits,
    }
