"""The example of time as a cost: a table that is measured here limits a search."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.space.latency_table import latencies
from support import free_port

pytestmark = [pytest.mark.nni, pytest.mark.slow]

MOST_MS = 50.0


@pytest.mark.long
def test_networks_are_searched_by_the_times_of_this_machine(examples, run_command, tmp_path):
    script = examples / "latency" / "search.py"
    options = ("--quick", "--max-ms", MOST_MS, "--results", "own", "--port", free_port())
    said = run_command(sys.executable, script, *options, folder=tmp_path)
    written = json.loads((tmp_path / "own" / "front.json").read_text())
    assert 1 <= written["trials"] <= 4  # a busy machine ends it by its time
    space = search_spaces.create("digits")
    seconds = latencies(str(tmp_path / "own" / "latency.json"), space)
    for member in written["front"]:
        trial = json.loads((Path(member["trial_folder"]) / "trial.json").read_text())
        metrics = trial["metrics"]
        assert metrics["full_latency_s"] == pytest.approx(seconds(trial["sample"])[-1])
        assert 0 < metrics["latency_s"] <= metrics["full_latency_s"] < MOST_MS / 1e3
        assert f"{1e3 * metrics['latency_s']:.2f} on average" in said
