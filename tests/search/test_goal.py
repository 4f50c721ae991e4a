from __future__ import annotations

import pytest
from nni_earlyexit.search.goal import Goal, penalty, score


def test_halving_the_average_macs_is_worth_one_point_of_accuracy():
    assert score(0.90, 5e5) == pytest.approx(score(0.91, 1e6))


def test_every_network_over_the_limit_scores_below_every_one_within_it():
    assert penalty(1e-6) < -1 < score(0.0, 1e15)
    # and missing it by more scores less
    assert penalty(2.0) < penalty(1.0)


def test_without_a_goal_it_is_the_cheapest_point_near_the_best_accuracy():
    assert Goal().operating_point(3.0).tolerance == 0.005
    assert Goal(knee=True).operating_point().tolerance is None


@pytest.mark.parametrize("name", ["min_accuracy", "max_drop", "tolerance"])
@pytest.mark.parametrize("share", [True, -0.1, 1.5, "1%"])
def test_a_share_that_is_none_is_refused_by_its_name(name, share):
    with pytest.raises(ValueError, match=f"{name}: {share!r} is not possible"):
        Goal(**{name: share})
