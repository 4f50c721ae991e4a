"""Faults of the harness that no other test injects, once each; the long form is ``python tests/faults/harness.py``."""

from __future__ import annotations

import shutil

import harness
import pytest

pytestmark = [pytest.mark.nni, pytest.mark.slow]


@pytest.mark.parametrize(
    "name",
    [
        "kill -9 of everything",
        pytest.param("the clock jumps an hour ahead", marks=pytest.mark.long),
        pytest.param("strategy's state damaged", marks=pytest.mark.long),
    ],
)
def test_no_finished_trial_is_lost_and_none_runs_twice(name, tmp_path):
    if "clock" in name and shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    outcome = harness.inject(name, tmp_path / "search")
    assert outcome.finished > 0
    assert (outcome.lost, outcome.twice, outcome.remarks) == (0, 0, [])
