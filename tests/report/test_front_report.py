from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.axes import Axes
from nni_earlyexit.evaluation.network_front import beaten_by, best_of, objectives_of
from nni_earlyexit.report import front_plot
from nni_earlyexit.report.front_report import remarks, table
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.utils.files import write_json

LATENCY = {"accuracy": "max", "latency_s": "min"}


def member(accuracy, avg_macs, latency_s=1.0, shares=(0.5, 0.5)):
    test = {"accuracy": accuracy, "avg_macs": avg_macs, "latency_s": latency_s}
    policy = ExitPolicy((0.5, -float("inf")))
    return SimpleNamespace(
        test=test, accuracy=accuracy, avg_macs=avg_macs, full_macs=1000, interval=(0.0, 1.0), shares=shares, policy=policy,
        architecture="a | b", record=SimpleNamespace(folder=Path("environments/local-env/trials/own")),
    )  # fmt: skip


def trial(accuracy, avg_macs, latency_s):
    metrics = {"accuracy": accuracy, "avg_macs": avg_macs, "latency_s": latency_s, "feasible": 1}
    return SimpleNamespace(metrics=metrics)


def test_the_front_is_that_of_the_objectives():
    fast, lean = trial(0.8, 900.0, 1.0), trial(0.8, 100.0, 5.0)
    better = trial(0.9, 950.0, 2.0)
    assert best_of([lean, better, fast]) == [lean, better]
    assert best_of([lean, better, fast], LATENCY) == [fast, better]


def test_a_network_that_another_row_beats_on_test_is_marked_with_it():
    members = [member(0.9, 100.0), member(0.8, 200.0), member(0.9, 100.0)]
    assert beaten_by(members) == [None, 0, None]
    assert remarks(members) == ["", "beaten by 1", ""]


def test_a_network_at_whose_first_exit_everything_leaves_is_marked():
    members = [member(0.9, 100.0, shares=(1.0, 0.0)), member(0.9, 120.0, shares=(1.0,))]
    assert remarks(members) == ["all leave at exit 0", "beaten by 1"]


def test_a_network_that_was_trained_again_is_marked():
    members = [member(0.9, 100.0), member(0.95, 120.0)]
    members[1].record.folder = Path("environments/trained-further/trials/own-0a")
    assert remarks(members) == ["", "trained further"]


def test_further_objectives_have_a_column():
    head, _, row = table([member(0.9, 100.0, 0.0025)], LATENCY).splitlines()
    assert "latency_s" in head
    assert "0.0025" in row
    assert "latency_s" not in table([member(0.9, 100.0)])


def test_the_picture_is_drawn_over_the_cost_that_was_searched(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(Axes, "set_xlabel", lambda axes, text: titles.append(text))
    chosen = member(0.9, 100.0, 2.0)
    chosen.record = trial(0.9, 100.0, 2.0)
    chosen.record.metrics["full_latency_s"] = 4.0
    front_plot.save([chosen], [chosen.record, trial(0.8, 50.0, 3.0)], tmp_path / "front.png", LATENCY)
    assert titles == ["average seconds per input"]
    assert (tmp_path / "front.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("state", "objectives"),
    [
        ({"objectives": LATENCY}, LATENCY),
        ({"objectives": {"speed": "max"}}, {"accuracy": "max", "avg_macs": "min"}),
        (["damaged"], {"accuracy": "max", "avg_macs": "min"}),
        (None, {"accuracy": "max", "avg_macs": "min"}),
    ],
)
def test_objectives_are_those_of_the_state_of_the_search(tmp_path, state, objectives):
    (tmp_path / "checkpoint").mkdir()
    if state is not None:
        write_json(tmp_path / "checkpoint" / "strategy.json", state)
    assert objectives_of(tmp_path) == objectives
