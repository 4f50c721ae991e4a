"""NNI's database where it is not as NNI writes it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from nni_database import write
from nni_earlyexit.evaluation import nni_database


@pytest.mark.parametrize("number", ["", "4", False, [], {}, 2.5], ids=repr)
def test_a_number_of_trials_that_is_none_is_one_sentence(tmp_path, number):
    folder = write(tmp_path / "e", [], [], maxTrialNumber=number)
    with pytest.raises(ValueError, match=r"^experiment: .* cannot be read: maxTrialNumber: .* is no number of trials"):
        nni_database.load(folder)


@pytest.mark.parametrize("params", ["[" * 100_000, "{", "3", "null"], ids=["nested", "half", "number", "nothing"])
def test_a_configuration_that_is_none_is_one_sentence(tmp_path, params):
    folder = write(tmp_path / "e", [], [])
    with sqlite3.connect(folder / "db" / "nni.sqlite") as connection:
        connection.execute("update ExperimentProfile set params = ?", (params,))
    connection.close()
    with pytest.raises(ValueError, match=r"^experiment: .* cannot be read: "):
        nni_database.load(folder)
    assert nni_database.read(folder).config == {}


@pytest.mark.parametrize(
    ("ends", "elapsed_s", "complete"),
    [([True, True], 60, True), ([True, False], 60, False), ([True, True], 59, False), ([], 60, True)],
)
def test_a_search_is_over_when_its_time_is_and_its_trials_have_ended(ends, elapsed_s, complete):
    jobs = {str(number): SimpleNamespace(over=over) for number, over in enumerate(ends)}
    own = nni_database.Database({"maxExperimentDuration": "1m"}, elapsed_s=elapsed_s, jobs=jobs)
    assert own.complete == complete


def test_any_number_of_trials_is_possible(tmp_path):
    assert nni_database.load(write(tmp_path / "e", [], [], maxTrialNumber=None)).config["maxTrialNumber"] is None


def test_what_a_killed_manager_had_half_written_is_undone(tmp_path):
    whole, killed = write(tmp_path / "whole", [("a", "RUNNING")], []), tmp_path / "killed"
    with closing(sqlite3.connect(whole / "db" / "nni.sqlite")) as connection:
        connection.execute("pragma cache_size = 1")  # pages reach the file before the transaction ends
        events = [(time, "a", "FAILED" + "." * 1000) for time in range(100)]
        connection.executemany("insert into TrialJobEvent (timestamp, trialJobId, event) values (?, ?, ?)", events)
        connection.execute("update TrialJobEvent set event = 'SUCCEEDED'")
        shutil.copytree(whole, killed)
    assert (killed / "db" / "nni.sqlite-journal").stat().st_size
    assert [job.state for job in nni_database.load(killed).jobs.values()] == ["RUNNING"]
