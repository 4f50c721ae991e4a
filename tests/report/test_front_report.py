"""The front as people read it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.axes import Axes
from nni_earlyexit.evaluation.experiment_front import ExperimentFront, JudgedStatic
from nni_earlyexit.evaluation.held_out import HeldOut
from nni_earlyexit.evaluation.network_front import JudgedPoint, Member, beaten_by
from nni_earlyexit.evaluation.static_networks import StaticNetwork
from nni_earlyexit.report import front_plot
from nni_earlyexit.report.front_report import WIDTH, about, advice, remarks, static_table, table, text
from nni_earlyexit.search.objectives import DEFAULT_OBJECTIVES
from nni_earlyexit.thresholds.diagnostics import Diagnostic
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.thresholds.policy_front import TradeOff

LATENCY = {"accuracy": "max", "latency_s": "min"}
TRIALS = "environments/local-env/trials"


def point(cutoff, accuracy, avg_macs):
    policy = ExitPolicy((cutoff, 0.9, -math.inf))
    own = TradeOff(accuracy, avg_macs, policy.cutoffs, (0.5, 0.3, 0.2))
    return JudgedPoint(policy, own, own)


def member(name, accuracy, avg_macs, latency_s=1.0, shares=(0.5, 0.3, 0.2), in_use=(0, 1, 2), folder=None, **more):
    test = {"accuracy": accuracy, "avg_macs": avg_macs, "latency_s": latency_s}
    metrics = {**test, "feasible": 1, "full_latency_s": 4.0, "full_macs": 1000}
    trade_off = (point(0.2, accuracy - 0.1, avg_macs / 2), point(0.5, accuracy, avg_macs))
    return Member(
        record=SimpleNamespace(folder=folder or Path(TRIALS) / name, metrics=metrics, space="digits/2", sample={}),
        policy=trade_off[1].policy,
        test=test,
        interval=(accuracy - 0.01, accuracy + 0.01),
        shares=shares,
        exit_costs=(10, 50, 1000),
        architecture="a | b",
        diagnostics=(),
        class_names=("x", "y"),
        exit_accuracies=(0.8, 0.85, 0.9),
        in_use=in_use,
        trade_off=trade_off,
        **more,
    )


def front(*members, validation=None, static=None, objectives=DEFAULT_OBJECTIVES):
    """A front whose networks have these accuracies on validation data, by default those of the test split."""
    accuracies = validation or [own.accuracy for own in members]
    return ExperimentFront(
        Path("nni-experiments/Vq n3x"),
        [own.record for own in members],
        objectives,
        members,
        [
            HeldOut({"validation": accuracy, "calibration": accuracy}, {"validation": own.avg_macs}, accuracy)
            for own, accuracy in zip(members, accuracies, strict=True)
        ],
        [None if other is None else members[other] for other in beaten_by(members, objectives)],
        static or [None] * len(members),
    )


def static(name, macs, exit=0, accuracy=0.9):
    trial = SimpleNamespace(folder=Path(TRIALS) / name, space="digits/2", sample={})
    network = StaticNetwork(trial, exit, macs, {"calibration": accuracy}, accuracy, np.zeros(3, dtype=int))
    return JudgedStatic(network, accuracy, (accuracy - 0.02, accuracy + 0.02))


def lines_of(front):
    return table(front).splitlines()[2:]


def test_networks_that_others_beat_on_test_stand_apart_and_each_part_begins_with_the_cheapest():
    shown = front(
        member("cheap", 0.8, 100.0), member("bad", 0.7, 300.0), member("worse", 0.6, 200.0), member("good", 0.9, 150.0)
    )
    names = [
        "beaten" if line.startswith("beaten") else line.split()[1 + line.startswith("->")] for line in lines_of(shown)
    ]
    assert names == ["cheap", "good", "beaten", "worse", "bad"]
    assert [row["trial"] for row in shown.rows()] == ["cheap", "good", "worse", "bad"]
    assert not any(line.startswith("beaten") for line in lines_of(front(member("only", 0.9, 100.0))))


def test_a_network_that_another_beats_is_marked_with_one_that_none_beats():
    members = [member("a", 0.9, 100.0), member("b", 0.8, 200.0), member("c", 0.7, 300.0), member("d", 0.9, 100.0)]
    assert beaten_by(members) == [None, 0, 0, None]
    assert beaten_by(members[::-1]) == [None, 0, 0, None]
    assert remarks(front(*members))[1] == "beaten by 1"
    assert [row["beaten_by"] for row in front(*members).rows()] == [None, None, "a", "a"]


def test_the_test_split_never_chooses_what_is_recommended():
    members = [member("best-by-test", 0.99, 100.0), member("best-by-validation", 0.80, 200.0), member("c", 0.85, 150.0)]
    validation = [0.80, 0.99, 0.85]
    chosen = front(*members, validation=validation)
    others = [
        replace(own, test={**own.test, "accuracy": accuracy})
        for own, accuracy in zip(members, (0.1, 0.2, 0.99), strict=True)
    ]
    for shown in (chosen, front(*others, validation=validation)):
        assert shown.take.trial == "best-by-validation"
        marked = [line for line in table(shown).splitlines() if line.startswith("->")]
        assert len(marked) == 1
        assert "best-by-validation" in marked[0]
        assert "take this" in marked[0]
        assert "--pick best-by-validation" in advice(shown)
        assert [row["trial"] for row in shown.rows() if row["recommended"]] == ["best-by-validation"]
    assert "Network 1 beats it on test data" in " ".join(advice(chosen).split())


def test_half_the_macs_are_worth_one_point_of_validation_accuracy():
    members = [member("lean", 0.9, 1e6), member("dear", 0.9, 2e6)]
    assert front(*members, validation=[0.9, 0.909]).take.trial == "lean"
    assert front(*members, validation=[0.9, 0.911]).take.trial == "dear"


def test_a_network_at_whose_first_exit_everything_leaves_is_named_in_plain_words():
    static_one = member("all", 0.9, 10.0, shares=(1.0, 0.0, 0.0), in_use=(0,))
    shown = front(static_one, member("some", 0.95, 100.0))
    assert "static" in remarks(shown)[0]
    assert "static" not in remarks(shown)[1]
    said = " ".join(about(shown, 0).split())
    assert "every input leaves at exit 0: this is a small static network: export it as one" in said
    assert "leaves out all that follows that exit" in said
    assert "static network" not in about(shown, 1)
    assert [row["is_static"] for row in shown.rows()] == [True, False]
    assert "Every input leaves at its exit 0: export makes a small static network of it." in " ".join(
        advice(front(static_one)).split()
    )


def test_a_network_that_was_trained_again_is_marked():
    again = member("b", 0.95, 90.0, folder=Path("environments/trained-further/trials/own-0a"))
    assert remarks(front(member("a", 0.8, 80.0), again)) == ["", "take this, trained further"]


def test_each_network_shows_its_trial_and_its_own_trade_off():
    shown = front(member("Vqn3x", 0.9, 100_000.0))
    said = about(shown, 0)
    assert "trial Vqn3x" in said
    assert "0.8000  [0.9000]" in said  # brackets: the cutoffs that it has
    assert "50k    [100k]" in said
    assert "cutoffs: 0.500 0.900" in said
    assert "Vqn3x" in lines_of(shown)[0]


def test_the_best_static_network_stands_beside_each():
    shown = front(member("a", 0.9, 100.0), member("b", 0.95, 200.0), static=[static("peer", 300), None])
    first, second = lines_of(shown)
    assert "300 (3x)" in first
    assert "none" in second
    assert ["peer", "exit", "0", "0.9000", "(0.880", "to", "0.920)", "300", "1"] in [
        line.split() for line in static_table(shown).splitlines()
    ]
    row = shown.rows()[0]
    assert (row["static_trial"], row["static_exit"], row["static_macs"], row["static_accuracy"]) == (
        "peer",
        0,
        300,
        0.9,
    )
    assert "no network of this search" in static_table(front(member("a", 0.9, 100.0)))


@pytest.mark.parametrize(
    ("macs", "words"),
    [(300, "takes 3 times its average MACs and has test accuracy 0.9000."), (80, "here, leaving early gains nothing.")],
)
def test_the_gain_from_leaving_early_is_said(macs, words):
    said = " ".join(advice(front(member("a", 0.9, 100.0), static=[static("peer", macs)])).split())
    assert words in said


def test_commands_name_an_experiment_that_a_shell_reads_as_it_is():
    assert "export 'nni-experiments/Vq n3x' --pick a --out bundle" in advice(front(member("a", 0.9, 100.0)))


def test_further_objectives_have_a_column():
    shown = front(member("a", 0.9, 100.0, 0.0025), objectives=LATENCY)
    head, _, row = table(shown).splitlines()
    assert "latency_s" in head
    assert "0.0025" in row
    assert shown.rows()[0]["latency_s"] == 0.0025
    assert "latency_s" not in table(front(member("a", 0.9, 100.0)))


def test_no_line_is_wider_than_a_terminal():
    wide = member("Vqn3x", 0.9, 123_456.0, shares=(0.42, 0.2, 0.38))
    concern = Diagnostic("optimism", None, {}, True, "fitted to few inputs " * 20)
    wide = replace(wide, architecture="mb_k5_e4 [ds_k3 catavgmax] | " * 20, diagnostics=(concern,))
    shown = front(wide, member("worse", 0.8, 200_000.0), static=[static("peer", 300_000), None])
    copied = ("   nni-earlyexit", "  architecture: ")
    assert max(len(line) for line in text(shown).splitlines() if not line.startswith(copied)) <= WIDTH
    assert "concern: fitted to few" in text(shown)


def test_the_picture_is_drawn_over_the_cost_that_was_searched(tmp_path, monkeypatch):
    titles, drawn = [], []
    monkeypatch.setattr(Axes, "set_xlabel", lambda axes, title: titles.append(title))
    original = Axes.scatter
    monkeypatch.setattr(
        Axes,
        "scatter",
        lambda axes, x, y, **more: (drawn.append((list(x), more["label"])), original(axes, x, y, **more))[1],
    )
    members = [member("a", 0.9, 100.0, 2.0), member("b", 0.8, 200.0, 3.0)]
    front_plot.save(front(*members, objectives=LATENCY), tmp_path / "latency.png")
    assert ([2.0, 3.0], "the front's networks (test; hollow: beaten)") in drawn
    assert not any("without leaving early (test)" in label for _, label in drawn)
    front_plot.save(front(*members, static=[static("peer", 300), None]), tmp_path / "macs.png")
    assert ([300], "the best without leaving early (test)") in drawn
    assert titles == ["average seconds per input", "average MACs per input"]
    assert (tmp_path / "macs.png").stat().st_size > 10_000
