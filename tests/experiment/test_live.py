from __future__ import annotations

import io

import pytest
from nni_earlyexit.experiment.live import MOST_ROWS, State, display
from rich.console import Console


def trial(name, status="SUCCEEDED", accuracy=0.9, avg_macs=1e5, **metrics):
    reported = {"accuracy": accuracy, "avg_macs": avg_macs, "full_macs": 2e5, "feasible": 1, "default": accuracy}
    return {"trialJobId": name, "status": status, "metrics": reported | metrics if status == "SUCCEEDED" else None}


@pytest.fixture
def screen():
    """What a terminal holds in the end, after lines were said and states were shown."""

    def shown(*states, lines=()):
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=True, width=100, height=40, color_system=None)
        with display(lambda line: None, console) as live:
            for line in lines:
                live.say(line)
            for state in states:
                live.show(state)
        return stream.getvalue()

    return shown


def test_a_terminal_shows_counts_what_runs_and_the_best_networks_with_hypervolume(screen):
    trials = [trial("a", avg_macs=1e5), trial("b", accuracy=0.5), trial("c", accuracy=0.95, avg_macs=1.5e5)]
    said = screen(State([*trials, trial("d", "RUNNING"), trial("e", "FAILED")], 8, "about 1:00 left", {"d": 3}))
    assert "4/8 trials, 1 failed, about 1:00 left" in said
    assert "running: d (epoch 3)" in said
    assert "hypervolume 0." in said
    rows = [line.split() for line in said.splitlines()]
    assert ["a", "0.9000", "100k", "200k"] in rows
    assert ["c", "0.9500", "150k", "200k"] in rows
    assert not any(row[:1] == ["b"] for row in rows)


def test_lines_stay_above_the_display_as_they_are(screen):
    said = screen(State([trial("a")], 1), lines=["trial [x] failed: [bold]no[/bold]"])
    assert "trial [x] failed: [bold]no[/bold]" in said


def test_a_long_front_is_shown_in_part_with_both_ends(screen):
    trials = [trial(f"t{i:02d}", accuracy=0.5 + i / 100, avg_macs=1e5 + i) for i in range(30)]
    said = screen(State(trials, 30))
    assert "t00" in said
    assert "t29" in said
    assert f"{MOST_ROWS} of 30" in said


@pytest.mark.parametrize("status", ["RUNNING", "WAITING", "UNKNOWN", "ADD_RESUMED", "ADD_CUSTOMIZED", "INIT"])
def test_a_trial_that_waits_to_be_started_again_has_not_failed(status):
    state = State([trial("a"), trial("b", status)], 4)
    assert state.counts == "1/4 trials"


def test_elsewhere_lines_say_what_is_new_and_only_that():
    lines = []
    with display(lines.append) as plain:
        for _ in range(3):
            plain.show(State([trial("a"), trial("b", "RUNNING")], 4, "about 0:30 left"))
        plain.show(State([trial("a"), trial("b", "EARLY_STOPPED")], 4))
    assert lines == [
        "1/4 trials, best so far 0.9000 at 100k average MACs, about 0:30 left",
        "2/4 trials, 1 stopped, best so far 0.9000 at 100k average MACs",
    ]
