from __future__ import annotations

import math

import numpy as np
import pytest
from nni_earlyexit.evaluation.best_so_far import best_so_far
from pymoo.indicators.hv import HV


def metrics(accuracy, avg_macs, full_macs=1e6, feasible=1, front=()):
    reported = {"accuracy": accuracy, "avg_macs": avg_macs, "full_macs": full_macs, "feasible": feasible}
    return {**reported, "front": dict(front)}


def test_the_best_are_those_that_no_other_one_beats_cheapest_first():
    trials = {
        "dear": metrics(0.9, 5e5),
        "beaten": metrics(0.8, 6e5),
        "cheap": metrics(0.7, 1e5),
        "limit": metrics(0.99, 1e4, feasible=0),
    }
    assert best_so_far(trials).names == ["cheap", "dear"]


def test_hypervolume_is_that_of_pymoo_in_the_same_box():
    rng = np.random.default_rng(0)
    trials = {
        str(i): metrics(
            accuracy,
            cost,
            full_macs=2e6,
            front={"accuracy": [accuracy / 2], "avg_macs": [cost / 3]},
        )
        for i, (accuracy, cost) in enumerate(
            zip(rng.uniform(0.2, 0.9, 20), 10 ** rng.uniform(3.5, 6.2, 20), strict=True)
        )
    }
    points = [
        (max(0.0, 1 + math.log10(cost / 2e6) / 2), 1 - accuracy)
        for m in trials.values()
        for accuracy, cost in ((m["accuracy"], m["avg_macs"]), (m["front"]["accuracy"][0], m["front"]["avg_macs"][0]))
    ]
    assert best_so_far(trials).hypervolume == pytest.approx(HV(ref_point=np.ones(2))(np.array(points)))


def test_without_a_network_within_the_limits_there_is_nothing():
    assert best_so_far({"a": metrics(0.5, 10, feasible=0)}) == ([], 0.0)
    assert best_so_far({}) == ([], 0.0)
