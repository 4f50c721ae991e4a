from __future__ import annotations

import numpy as np
from nni_earlyexit.thresholds.policy_front import Front


def front(points):
    accuracy = 1 - 0.5 ** np.linspace(1, 9, points)
    cost = np.linspace(1, 2, points)
    return Front(accuracy, cost, np.zeros((points, 2)), np.zeros((points, 2)))


def area(part):
    return float(part.accuracy[:-1] @ np.diff(part.avg_cost))


def test_a_front_that_is_thinned_out_keeps_its_ends_and_nearly_all_of_its_area():
    whole = front(500)
    part = whole.thinned(32)
    assert len(part) == 32
    assert (part[0], part[31]) == (whole[0], whole[499])
    assert area(part) > 0.985 * area(whole)
    evenly = whole[np.linspace(0, 499, 32).astype(int)]
    assert area(part) > area(evenly)


def test_a_short_front_is_left_alone():
    assert front(5).thinned(32).accuracy.tolist() == front(5).accuracy.tolist()
    assert len(front(0).thinned(32)) == 0
