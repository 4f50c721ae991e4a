from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit.utils.non_dominance import non_dominated


@pytest.mark.parametrize("losses", [1, 2, 3, 4])
def test_nothing_that_stays_is_beaten_and_everything_else_is_beaten_or_equal(losses):
    points = np.random.default_rng(losses).integers(0, 6, size=(120, losses)).astype(float)
    best = non_dominated(points)
    assert len(np.unique(points[best], axis=0)) == len(best)
    for i, point in enumerate(points):
        others = points[best[best != i]]
        beaten = (others <= point).all(axis=1)
        assert beaten.any() != (i in best)


@pytest.mark.parametrize("losses", [2, 3])
def test_of_equal_points_the_first_stays_and_rounding_makes_no_difference(losses):
    point = np.arange(1.0, losses + 1) / 3
    nearly = point * (1 + 1e-15)
    assert non_dominated([nearly, point]).tolist() == [0]
    assert non_dominated([point, nearly]).tolist() == [0]
    assert sorted(non_dominated([point, point * [1 - 1e-9, *[1 + 1e-9] * (losses - 1)]])) == [0, 1]


def test_no_points_have_no_front():
    assert non_dominated(np.empty((0, 2))).tolist() == []
