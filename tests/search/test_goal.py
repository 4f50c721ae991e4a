from __future__ import annotations

import math

import pytest
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.goal import LIMITS, Goal
from nni_earlyexit.utils.amounts import format_macs, parse_amount, parse_duration


def test_halving_the_average_macs_is_worth_one_point_of_accuracy():
    goal = Goal()
    assert goal.score(0.90, 5e5) == pytest.approx(goal.score(0.91, 1e6))


def test_every_network_over_the_limit_scores_below_every_one_within_it():
    goal = Goal(max_full_macs=1e6)
    worst = goal.score(0.0, 1e15)
    assert goal.penalty(ExitCosts([10, 1_000_001])) < -1 < worst
    # and missing it by more scores less
    assert goal.penalty(ExitCosts([10, 3_000_000])) < goal.penalty(ExitCosts([10, 2_000_000]))


@pytest.mark.parametrize(
    ("limits", "excess"),
    [
        ({}, 0),
        ({"max_full_macs": 100}, 0),
        ({"max_full_macs": 80}, 0.25),
        ({"max_avg_macs": 40}, 0),
        ({"max_avg_macs": 32}, 0.25),
        ({"max_avg_macs": 32, "max_full_macs": 80}, 0.5),
        ({"max_params": 10}, 0),
        ({"max_params": 5}, 1),
        ({"max_activation_bytes": 2000}, 1),
        ({"max_latency_s": 0.5}, 1),
    ],
)
def test_before_training_only_the_first_exit_speaks_for_the_average(limits, excess):
    costs = ExitCosts([40, 100], params=[6, 10], activation_bytes=[1000, 4000], latency_s=[1.0, 3.0])
    assert Goal(**limits).excess(costs) == excess


def test_a_limit_on_a_cost_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="max_latency_s: latency_s is not known; a latency table is needed"):
        Goal(max_latency_s=1).excess(ExitCosts([40, 100]))


@pytest.mark.parametrize(("text", "macs"), [("150000", 150000), ("150k", 150e3), ("2M", 2e6), ("1.5G", 1.5e9)])
def test_macs_are_read_with_their_unit(text, macs):
    assert parse_amount(text) == macs


def test_macs_are_shown_with_their_unit():
    assert [format_macs(m) for m in (950, 150_000, 2_340_000, 4.1e9)] == ["950", "150k", "2.34M", "4.1G"]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("limit", [True, 0, -1, math.inf, math.nan, "400k"])
def test_a_limit_that_is_no_positive_number_is_refused_by_its_name(name, limit):
    with pytest.raises(ValueError, match=f"{name}: {limit!r} is not possible; a positive number of"):
        Goal(**{name: limit})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), (90, 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400)]
)
def test_durations_are_written_as_nni_writes_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "-1s", 0, True, None, "inf", "nan", "10000000h", [], {}])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration; examples: 90, 90s, 10m, 2h"):
        parse_duration(text)
