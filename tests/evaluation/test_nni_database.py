"""NNI's database where it is not as NNI writes it."""

from __future__ import annotations

import sqlite3

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


def test_any_number_of_trials_is_possible(tmp_path):
    assert nni_database.load(write(tmp_path / "e", [], [], maxTrialNumber=None)).config["maxTrialNumber"] is None
