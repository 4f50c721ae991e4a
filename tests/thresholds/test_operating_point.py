from __future__ import annotations

import numpy as np
from nni_earlyexit.search.goal import Goal
from nni_earlyexit.thresholds.operating_point import PointGoal
from nni_earlyexit.thresholds.policy_front import Front


def test_zero_is_a_goal():
    assert PointGoal(tolerance=0.0).named() == ["tolerance"]
    assert PointGoal(max_drop=0.0).named() == ["max_drop"]
    assert PointGoal(knee=False).named() == []


def test_no_tolerance_takes_the_best():
    front = Front(np.array([0.897, 0.9]), np.array([1.0, 2.0]), np.full((2, 1), -np.inf), np.ones((2, 1)))
    chosen = {goal: goal.operating_point().pick(front, 0.9, 2.0).accuracy for goal in (Goal(), Goal(tolerance=0.0))}
    assert list(chosen.values()) == [0.897, 0.9]
