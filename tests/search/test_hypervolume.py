from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit.search.hypervolume import Improvement
from pymoo.indicators.hv import HV


def front(losses, rng, points=12):
    """Points on a sphere, none of which beats another one."""
    found = np.abs(rng.normal(size=(points, losses)))
    return 1 - found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize(("losses", "error"), [(1, 1e-9), (2, 0.004), (3, 0.012), (4, 0.02)])
def test_it_is_the_hypervolume_that_points_add(losses, error, rng):
    known = np.array([[0.8]]) if losses == 1 else front(losses, rng)
    improvement = Improvement(known)
    margin = 0.1 * (np.ptp(known, axis=0) if losses > 1 else np.abs(known[0]))
    reference = known.max(axis=0) + margin
    box = np.prod(reference - (known.min(axis=0) - margin))
    volume = HV(ref_point=reference)
    near = [known * 1.05 if losses == 1 else front(losses, rng, 3) for _ in range(4)]
    sets = np.stack([points * shrink for points, shrink in zip(near, (0.7, 0.9, 1.0, 1.1), strict=True)])
    sets = np.minimum(sets, known.max(axis=0))  # what lies beyond counts less
    exact = [(volume(np.vstack([known, points])) - volume(known)) / box for points in sets]
    np.testing.assert_allclose(improvement.gains(sets), exact, atol=error)


def test_what_is_beaten_adds_nothing(rng):
    known = front(3, rng)
    assert Improvement(known).gains((known + 0.01)[None]).tolist() == [0]


def test_what_was_added_is_not_counted_twice(rng):
    known, points = front(2, rng), front(2, rng)[None] * 0.8
    improvement = Improvement(known)
    assert improvement.gains(points)[0] > 0.01
    improvement.add(points[0])
    assert improvement.gains(points).tolist() == [0]


def test_the_unit_of_a_loss_does_not_matter(rng):
    known, points = front(2, rng), front(2, rng)[None] * 0.9
    unit = np.array([1e-3, 1e6])
    np.testing.assert_allclose(
        Improvement(known * unit).gains(points * unit), Improvement(known).gains(points), rtol=1e-9
    )


def test_a_front_of_one_point_has_a_box():
    assert Improvement(np.array([[-0.9, 1e5]])).gains(np.array([[[-0.95, 0.95e5]]]))[0] > 0


@pytest.mark.parametrize("losses", [2, 3])
@pytest.mark.parametrize("beyond", [0, 1])
def test_beyond_the_ends_counts_ever_less_but_never_nothing(losses, beyond, rng):
    known = front(losses, rng)
    best, extent = known.min(axis=0), np.ptp(known, axis=0)
    points = np.tile(best - 0.05 * extent, (5, 1))
    points[:, beyond] = known.max(axis=0)[beyond] + extent[beyond] * np.array([0, 0.1, 1, 10, 1000])
    gains = Improvement(known).gains(points[:, None])
    assert (np.diff(gains) <= 0).all()
    assert gains[0] > 2 * gains[2] > 0
    assert gains[-1] > 0


def test_points_that_do_not_exist_add_nothing(rng):
    assert Improvement(front(2, rng)).gains(np.full((1, 3, 2), np.inf)).tolist() == [0]
