from __future__ import annotations

import numpy as np
from nni_earlyexit.ask_tell import Domain
from nni_earlyexit.exit_costs import ExitCosts
from nni_earlyexit.features import Features

CHOICES = {"depth": [1, 2, 4], "block": ["a", "b", "c"], "present": ["no", "yes"], "fixed": ["x"]}


def test_ordered_choices_are_one_column_and_others_one_per_value():
    features = Features(Domain(CHOICES))
    rows = features([{"depth": 2, "block": "c", "present": "yes", "fixed": "x"}])
    np.testing.assert_allclose(rows, [[1 / 3, 0, 0, 1, 1]])


def test_costs_are_logarithms_of_the_same_length_for_any_number_of_exits():
    costs = {"a": ExitCosts([2, 8], [16, 32]), "b": ExitCosts([4], [64]), "c": ExitCosts([1, 2, 4, 8, 16], [2] * 5)}
    features = Features(Domain(CHOICES, costs=lambda sample: costs[sample["block"]]))
    rows = features([{"depth": 1, "block": block, "present": "no", "fixed": "x"} for block in "abc"])
    np.testing.assert_allclose(rows[0, -6:], [1, 1 + 2 / 3, 1 + 4 / 3, 3, 2, 5])
    np.testing.assert_allclose(rows[1, -6:], [2, 2, 2, 2, 1, 6])
    np.testing.assert_allclose(rows[2, -6:], [0, 4 / 3, 8 / 3, 4, 5, 1])


def test_different_networks_have_different_rows():
    features = Features(Domain(CHOICES))
    samples = [
        {"depth": d, "block": b, "present": p, "fixed": "x"} for d in (1, 2, 4) for b in "abc" for p in ("no", "yes")
    ]
    assert len(np.unique(features(samples), axis=0)) == len(samples)
