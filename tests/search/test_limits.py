from __future__ import annotations

import math

import pytest
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.limits import LIMITS, Limits


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
    assert Limits(**limits).excess(costs) == excess


def test_a_limit_on_a_cost_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="max_latency_s: latency_s is not known; a latency table is needed"):
        Limits(max_latency_s=1).excess(ExitCosts([40, 100]))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("limit", [True, 0, -1, math.inf, math.nan, "400k"])
def test_a_limit_that_is_no_positive_number_is_refused_by_its_name(name, limit):
    with pytest.raises(ValueError, match=f"{name}: {limit!r} is not possible; a positive number of"):
        Limits(**{name: limit})
