from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit.ask_tell import Domain, Trial
from nni_earlyexit.exit_costs import ExitCosts
from nni_earlyexit.trade_off_model import PLACES, Targets

COSTS = ExitCosts([100, 400, 1600], [5, 6, 7], [8, 9, 9])
SAMPLE = {"a": 1}
DEFAULT = {"accuracy": "max", "avg_macs": "min"}


def domain(costs=COSTS):
    return Domain({"a": [1, 2]}, costs=None if costs is None else lambda sample: costs)


def trial(*points):
    return Trial(SAMPLE, points[0], points, 0)


def test_a_whole_front_is_the_accuracy_at_average_costs_between_the_exits():
    targets = Targets(DEFAULT, domain(), whole_fronts=True)
    (row,) = targets.rows([trial((-0.5, 100.0), (-0.8, 400.0), (-0.9, 1600.0))])
    assert targets.along
    np.testing.assert_allclose(row, np.select([PLACES < 0.5, PLACES < 1], [0.5, 0.8], 0.9))


def test_predictions_become_points_with_exact_costs():
    targets = Targets(DEFAULT, domain(), whole_fronts=True)
    predicted = np.linspace(0.5, 0.9, len(PLACES))
    points = targets.points([SAMPLE], predicted[None])
    assert points.shape == (1, len(PLACES), 2)
    np.testing.assert_allclose(points[0, :, 0], -predicted)
    np.testing.assert_allclose(points[0, [0, 3, 6], 1], [100, 400, 1600])


def test_a_predicted_front_never_falls():
    targets = Targets(DEFAULT, domain(), whole_fronts=True)
    points = targets.points([SAMPLE], np.array([[0.9, *[0.1] * (len(PLACES) - 1)]]))
    assert set(points[0, :, 0]) == {-0.9}


@pytest.mark.parametrize("objectives", [DEFAULT, {"avg_macs": "min", "accuracy": "max", "params": "min"}])
def test_one_point_comes_back_as_it_was(objectives):
    targets = Targets(objectives, domain(), whole_fronts=False)
    losses = {"accuracy": -0.7, "avg_macs": 300.0, "params": 7.0}
    own = tuple(losses[name] for name in objectives)
    rows = targets.rows([trial(own)])
    assert rows.shape == (1, 2)
    np.testing.assert_allclose(targets.points([SAMPLE], rows), [[own]])


def test_known_costs_are_never_predicted():
    targets = Targets({"accuracy": "max", "full_macs": "min", "activation_bytes": "min"}, domain(), whole_fronts=True)
    assert targets.rows([trial((-0.7, 1.0, 1.0))]).shape == (1, 1)
    np.testing.assert_allclose(targets.points([SAMPLE], np.array([[0.7]])), [[[-0.7, 1600, 9]]])


def test_without_known_costs_every_objective_is_predicted():
    targets = Targets(DEFAULT, domain(costs=None), whole_fronts=True)
    rows = targets.rows([trial((-0.7, 300.0), (-0.6, 200.0))])
    np.testing.assert_allclose(rows, [[0.7, 300]])
    np.testing.assert_allclose(targets.points([SAMPLE], rows), [[[-0.7, 300]]])
