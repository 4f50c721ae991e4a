from __future__ import annotations

import pytest
from nni_earlyexit.goal import Goal, format_macs, parse_macs


def test_halving_the_average_macs_is_worth_one_point_of_accuracy():
    goal = Goal()
    assert goal.score(0.90, 5e5) == pytest.approx(goal.score(0.91, 1e6))


def test_every_network_over_the_limit_scores_below_every_one_within_it():
    goal = Goal(max_full_macs=1e6)
    worst = goal.score(0.0, 1e15)
    assert goal.penalty([10, 1_000_001]) < -1 < worst
    # and missing it by more scores less
    assert goal.penalty([10, 3_000_000]) < goal.penalty([10, 2_000_000])


@pytest.mark.parametrize(
    ("limits", "excess"),
    [
        ({}, 0),
        ({"max_full_macs": 100}, 0),
        ({"max_full_macs": 90}, 10),
        ({"max_avg_macs": 40}, 0),
        ({"max_avg_macs": 39}, 1),
        ({"max_avg_macs": 39, "max_full_macs": 90}, 10),
    ],
)
def test_before_training_only_the_first_exit_speaks_for_the_average(limits, excess):
    assert Goal(**limits).excess_macs([40, 100]) == excess


@pytest.mark.parametrize(("text", "macs"), [("150000", 150000), ("150k", 150e3), ("2M", 2e6), ("1.5G", 1.5e9)])
def test_macs_are_read_with_their_unit(text, macs):
    assert parse_macs(text) == macs


def test_macs_are_shown_with_their_unit():
    assert [format_macs(m) for m in (950, 150_000, 2_340_000, 4.1e9)] == ["950", "150k", "2.34M", "4.1G"]
