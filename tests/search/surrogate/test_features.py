from __future__ import annotations

import numpy as np
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.domain import Domain
from nni_earlyexit.search.surrogate.features import SampleFeatures, exit_features, network_features

CHOICES = {"depth": [1, 2, 4], "block": ["a", "b", "c"], "present": ["no", "yes"], "fixed": ["x"]}


def test_ordered_choices_are_one_column_and_others_one_per_value():
    rows = SampleFeatures(Domain(CHOICES))([{"depth": 2, "block": "c", "present": "yes", "fixed": "x"}])
    np.testing.assert_allclose(rows, [[1 / 3, 0, 0, 1, 1]])


def test_different_networks_have_different_rows():
    samples = [
        {"depth": d, "block": b, "present": p, "fixed": "x"} for d in (1, 2, 4) for b in "abc" for p in ("no", "yes")
    ]
    assert len(np.unique(SampleFeatures(Domain(CHOICES))(samples), axis=0)) == len(samples)


def test_costs_of_a_network_are_logarithms_of_the_same_length_for_any_number_of_exits():
    np.testing.assert_allclose(network_features(ExitCosts([2, 8], [16, 32])), [1, 1 + 2 / 3, 1 + 4 / 3, 3, 2, 5])
    np.testing.assert_allclose(network_features(ExitCosts([4], [64])), [2, 2, 2, 2, 1, 6])
    np.testing.assert_allclose(network_features(ExitCosts([1, 2, 4, 8, 16], [2] * 5)), [0, 4 / 3, 8 / 3, 4, 5, 1])


def test_costs_of_an_exit_are_those_of_what_has_run_by_then():
    costs = ExitCosts([2, 8], [16, 32])
    np.testing.assert_allclose(exit_features(costs, 0), [1, 4])
    np.testing.assert_allclose(exit_features(costs, 1), [3, 5])
    np.testing.assert_allclose(exit_features(ExitCosts([2, 8]), 1), [3])
