from __future__ import annotations

import pytest
from nni_earlyexit.search.goal import BORDER, Goal, penalty, score


def test_halving_the_average_macs_is_worth_one_point_of_accuracy():
    assert score(0.90, 5e5) == pytest.approx(score(0.91, 1e6), rel=1e-3)
    assert score(0.60, 5e8) == pytest.approx(score(0.61, 1e9), rel=1e-3)


def test_every_network_over_the_limit_scores_below_every_one_within_it():
    for excess in (1e-300, 1e-6, 0.1, 1e6):
        assert 0 < penalty(excess) <= BORDER
    for accuracy, avg_macs in ((0.0, 1e15), (0.0, 1e300), (0.1, 1e9), (1.0, 1.0)):
        assert score(accuracy, avg_macs) > BORDER
    # and missing it by more scores less
    assert penalty(2.0) < penalty(1.0) < penalty(0.1)


def test_networks_that_differ_little_stand_apart_from_each_other_and_near_those_over_the_limit():
    infeasible, worst, best = penalty(1.0), score(0.95, 3e5), score(0.99, 3e5)
    assert (best - worst) / (best - infeasible) > 0.2


def test_without_a_goal_it_is_the_cheapest_point_near_the_best_accuracy():
    assert Goal().operating_point(3.0).tolerance == 0.005
    assert Goal(knee=True).operating_point().tolerance is None


@pytest.mark.parametrize("name", ["min_accuracy", "max_drop", "tolerance"])
@pytest.mark.parametrize("share", [True, -0.1, 1.5, "1%"])
def test_a_share_that_is_none_is_refused_by_its_name(name, share):
    with pytest.raises(ValueError, match=f"{name}: {share!r} is not possible"):
        Goal(**{name: share})
