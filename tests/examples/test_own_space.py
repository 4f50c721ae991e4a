"""The example of a space of one's own: its module is named by files, and allowed by its user."""

from __future__ import annotations

import json

import numpy as np
import pytest
from nni_earlyexit import search_spaces
from support import PROGRAM, free_port

pytestmark = [pytest.mark.nni, pytest.mark.slow]

NAME = "my.dilated"


@pytest.fixture
def space(examples, monkeypatch):
    monkeypatch.syspath_prepend(str(examples / "own-space"))
    return search_spaces.create(NAME, max_exits=1)


def test_its_search_space_file_is_that_of_the_module(space, examples):
    written = json.loads((examples / "own-space" / "search_space.json").read_text())
    assert written == space.search_space()


def test_its_costs_are_exact_and_its_constraint_is_kept(space):
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(20):
        sample = space.sample(rng)
        assert sample["stage1_depth"] <= sample["stage2_depth"]
        assert space.freeze(sample).exit_costs == space.exit_costs(sample)
        kinds |= {sample[label] for label in sample if label.startswith("stage") and "block" in label}
    assert "dilated_k3_d2" in kinds


def test_it_is_searched_and_its_front_can_be_read_by_who_allows_it(examples, run_command, tmp_path):
    folder = examples / "own-space"
    quick = ("--quick", "--results", tmp_path / "results")
    run = ("run", folder / "experiment.yml", *quick, "--port", free_port())
    run_command(PROGRAM, *run, folder=tmp_path, PYTHONPATH=str(folder))
    written = json.loads((tmp_path / "results" / "front.json").read_text())
    assert 1 <= written["trials"] <= 4  # a busy machine ends it by its time
    again = ("front", written["experiment"], "--results", tmp_path / "again")
    run_command(PROGRAM, *again, "--allow-space", NAME, folder=tmp_path, PYTHONPATH=str(folder))
    assert json.loads((tmp_path / "again" / "front.json").read_text())["front"] == written["front"]
    said = run_command(PROGRAM, *again, folder=tmp_path, PYTHONPATH=str(folder), right=1)
    assert f"allow it, if you trust it, with --allow-space {NAME}" in said
