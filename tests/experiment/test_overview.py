"""The state of an experiment from its folder alone, as NNI's database there tells it."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys

import pytest
from nni_database import write
from nni_earlyexit.cli import main
from nni_earlyexit.experiment import overview
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.integration import nni_processes


def metrics(accuracy, macs, **others):
    return {"default": accuracy, "accuracy": accuracy, "avg_macs": macs, "full_macs": 2 * macs, "feasible": 1, **others}


@pytest.fixture
def stopped(tmp_path):
    """Two networks of which neither beats the other, one that both beat, and one that ran when the experiment was stopped."""
    events = [(trial, "RUNNING") for trial in "ABCD"] + [(trial, "SUCCEEDED") for trial in "CBA"]
    results = [("A", metrics(0.8, 1e6)), ("B", metrics(0.9, 4e6)), ("C", metrics(0.85, 5e6))]
    return write(tmp_path / "exper1mt", events, results, maxExperimentDuration="10m")


def test_trials_best_networks_and_hypervolume_of_a_stopped_experiment(stopped):
    seen = overview.overview(stopped)
    assert (seen.id, seen.name, seen.status, seen.port) == ("exper1mt", "a search", "STOPPED", None)
    assert seen.counts == {"SUCCEEDED": 3, "INTERRUPTED": 1}
    assert [row["trial"] for row in seen.best] == ["A", "B"]
    # the dearest costs 10M: the box begins at 100k, A holds from half of it to 4M, B from there
    share = 0.8 * 0.5 * 0.60206 + 0.9 * (0.5 - 0.5 * 0.60206)
    assert seen.to_dict()["hypervolume"] == pytest.approx(share, abs=1e-5)
    assert seen.left_s is None


@pytest.mark.parametrize(
    ("changes", "status"), [({"maxTrialNumber": 3}, "DONE"), ({"maxExperimentDuration": "50s"}, "DONE")]
)
def test_an_experiment_that_has_had_all_is_done(tmp_path, changes, status):
    events = [(trial, event) for trial in "ABC" for event in ("RUNNING", "SUCCEEDED")]
    assert overview.overview(write(tmp_path / "e", events, [], **changes)).status == status


def test_the_time_left_is_that_of_the_limit_or_of_the_pace(stopped, monkeypatch):
    manager = nni_processes.ManagerProcess(None, "exper1mt", 1234, stopped, None, None)
    monkeypatch.setattr(nni_processes, "managers", lambda: [manager])
    monkeypatch.setattr(Manager, "get", lambda self, path, patience_s: {"status": "RUNNING"})
    seen = overview.overview(stopped)
    assert (seen.status, seen.port) == ("RUNNING", 1234)
    assert seen.counts == {"SUCCEEDED": 3, "RUNNING": 1}
    assert seen.left_s == pytest.approx(60 / 3)  # three of four in a minute


@pytest.mark.parametrize(
    ("status", "searches"), [("RUNNING", True), ("NO_MORE_TRIAL", True), ("DONE", False), ("VIEWED", False)]
)
def test_it_is_known_whether_a_search_still_runs(stopped, monkeypatch, status, searches):
    assert not overview.is_searching(stopped)
    manager = nni_processes.ManagerProcess(None, "exper1mt", 1234, stopped, None, None)
    monkeypatch.setattr(nni_processes, "managers", lambda: [manager])
    monkeypatch.setattr(Manager, "get", lambda self, path, patience_s: {"status": status})
    assert overview.is_searching(stopped) is searches


def test_a_folder_that_is_none_of_an_experiment_is_said(tmp_path):
    with pytest.raises(ValueError, match="experiment: .* is not the folder of an experiment, which has db/nni.sqlite"):
        overview.overview(tmp_path)
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "nni.sqlite").write_text("damaged, and long enough to be looked at")
    with pytest.raises(ValueError, match="experiment: .*nni.sqlite' cannot be read: file is not a database"):
        overview.overview(tmp_path)


def test_an_experiment_of_another_kind_has_trials_and_no_best_network(tmp_path):
    seen = overview.overview(write(tmp_path / "other", [("A", "SUCCEEDED")], [("A", 0.5)]))
    assert overview.cells(seen)[:5] == ["other", "a search", "STOPPED", "1/4", ""]
    assert seen.to_dict()["best"] == []


def test_a_configuration_that_is_none_is_said(tmp_path):
    folder = write(tmp_path / "e", [], [])
    with sqlite3.connect(folder / "db" / "nni.sqlite") as connection:
        connection.execute("update ExperimentProfile set params = '[]'")
    connection.close()
    with pytest.raises(ValueError, match="experiment: .*nni.sqlite' cannot be read: its configuration is none"):
        overview.overview(folder)


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(nni_processes, "managers", lambda: [])

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nni-earlyexit", "status", *map(str, arguments)])
        main.main()
        return capsys.readouterr().out

    return run


def test_status_lists_experiments_the_latest_first_wherever_they_lie(call, tmp_path):
    home = tmp_path / "home" / "nni-experiments"
    write(home / "inside", [("A", "FAILED")], [])
    write(tmp_path / "elsewhere" / "outside", [], [])
    (home / ".experiment").write_text(json.dumps({"outside": {"logDir": str(tmp_path / "elsewhere")}}))
    (home / "damaged").mkdir()
    lines = call().splitlines()
    assert {line.split()[0] for line in lines[2:]} == {"inside", "outside"}
    assert {row["experiment"] for row in json.loads(call("--json"))} == {"inside", "outside"}
    assert [row["max_trials"] for row in csv.DictReader(call("--csv").splitlines())] == ["4", "4"]


def test_status_of_one_shows_its_networks(call, stopped):
    said = call(stopped)
    assert "3 SUCCEEDED" in said
    assert said.splitlines()[-2].split() == ["A", "0.8000", "1M", "2M"]
    assert [row["trial"] for row in csv.DictReader(call(stopped, "--csv").splitlines())] == ["A", "B"]
    assert json.loads(call(stopped, "--json"))["trials"] == {"INTERRUPTED": 1, "SUCCEEDED": 3}


def test_without_experiments_it_says_how_to_begin(call):
    assert call() == "no experiments yet; 'nni-earlyexit init' begins one\n"
