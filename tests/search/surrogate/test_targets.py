from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.domain import Domain
from nni_earlyexit.search.surrogate.targets import ExitTargets, PointTargets, computed, ends, targets
from nni_earlyexit.search.trials import Trial

COSTS = {
    1: ExitCosts([100, 400, 1600], [5, 6, 7], [8, 9, 9], stages=[0, 1, 2]),
    2: ExitCosts([90, 1600], [4, 7], [8, 9], stages=[0, 2]),
}
FULL, SKIPPING = {"a": 1}, {"a": 2}
DEFAULT = {"accuracy": "max", "avg_macs": "min"}


def domain(costs=True, **limits):
    return Domain({"a": [1, 2]}, costs=(lambda sample: COSTS[sample["a"]]) if costs else None, limits=limits)


def trial(*points, sample=FULL):
    return Trial(sample, points[0], points, 0)


def exits():
    return targets(DEFAULT, domain(), whole_fronts=True)


def test_of_a_whole_front_the_accuracy_at_the_cost_of_every_exit_is_learned():
    found = exits().learn(
        [trial((-0.5, 100.0), (-0.7, 250.0), (-0.9, 1000.0)), trial((-0.4, 90.0), (-0.8, 900.0), sample=SKIPPING)]
    )
    np.testing.assert_allclose(found, [[0.5, 0.4], [0.7, np.nan], [0.9, 0.8]])


def test_what_an_exit_depends_on_are_the_choices_and_what_has_run_by_then():
    found = exits().features([FULL, SKIPPING])
    assert found.shape == (3, 2, 3)
    np.testing.assert_allclose(found[0], [[0, np.log2(100), np.log2(5)], [1, np.log2(90), np.log2(4)]])
    np.testing.assert_allclose(found[1, 0], [0, np.log2(400), np.log2(6)])
    assert np.isnan(found[1, 1]).any()


def kept(points):
    """Points that exist, in the order of their costs."""
    points = points[np.isfinite(points).all(axis=-1)]
    return points[np.argsort(points[:, 1])]


def test_predictions_become_points_with_exact_costs():
    full, skipping = exits().points([FULL, SKIPPING], np.array([[0.5, 0.4], [0.7, np.nan], [0.9, 0.8]]))
    np.testing.assert_allclose(
        kept(full),
        [
            [-0.5, 100], [-0.54, 160], [-0.58, 220], [-0.62, 280], [-0.66, 340],
            [-0.7, 400], [-0.74, 640], [-0.78, 880], [-0.82, 1120], [-0.86, 1360], [-0.9, 1600],
        ],
    )  # fmt: skip
    np.testing.assert_allclose(kept(skipping)[[0, 1, -1]], [[-0.4, 90], [-0.48, 392], [-0.8, 1600]])
    assert len(kept(skipping)) == 6


def test_how_accuracy_rises_between_exits_is_learned_from_what_trials_showed():
    found = exits()
    front = [(-0.4, 90.0), (-0.7, 392.0), (-0.75, 694.0), (-0.78, 996.0), (-0.8, 1600.0)]
    found.learn([trial(*front, sample=SKIPPING)] * 3)
    (points,) = found.points([SKIPPING], np.array([[0.2], [np.nan], [0.4]]))
    np.testing.assert_allclose(kept(points)[:4], [[-0.2, 90], [-0.35, 392], [-0.375, 694], [-0.39, 996]])


def test_exits_over_a_limit_on_the_average_stand_at_the_limit():
    found = targets(DEFAULT, domain(avg_macs=1000), whole_fronts=True)
    learned = found.learn([trial((-0.5, 100.0), (-0.7, 400.0), (-0.8, 1000.0))])
    np.testing.assert_allclose(learned, [[0.5], [0.7], [0.8]])
    (points,) = found.points([FULL], learned)
    assert kept(points)[:, 1].max() == 1000
    assert kept(points)[:, 0].min() == -0.8


def test_of_a_single_point_nothing_is_learned_of_exits_that_cost_less():
    np.testing.assert_allclose(exits().learn([trial((-0.8, 900.0))]), [[np.nan], [np.nan], [0.8]])


def test_a_predicted_front_never_falls_and_never_exceeds_one():
    (points,) = exits().points([FULL], np.array([[0.9], [0.1], [1.2]]))
    best = kept(points)
    assert set(best[:6, 0]) == {-0.9}
    assert best[-1, 0] == -1


def test_many_predictions_at_once_are_each_as_one():
    found, rng = exits(), np.random.default_rng(0)
    predicted = rng.random((5, 3, 2))
    together = found.points([FULL, FULL], predicted)
    assert together.shape == (5, 2, 11, 2)
    for one, all_at_once in zip(predicted, together, strict=True):
        np.testing.assert_array_equal(found.points([FULL, FULL], one), all_at_once)


def test_costs_that_a_network_has_anyway_stand_at_every_point():
    objectives = {"params": "min", "avg_macs": "min", "accuracy": "max"}
    found = targets(objectives, domain(), whole_fronts=True)
    (points,) = found.points([FULL], np.array([[0.5], [0.6], [0.7]]))
    assert set(points[:, 0]) == {7}
    np.testing.assert_allclose(points[:3], [[7, 100, -0.5], [7, 400, -0.6], [7, 1600, -0.7]])


@pytest.mark.parametrize(
    ("objectives", "known", "whole", "kind"),
    [
        (DEFAULT, True, True, ExitTargets),
        (DEFAULT, True, False, PointTargets),
        (DEFAULT, False, True, PointTargets),
        ({"accuracy": "max", "full_macs": "min"}, True, True, PointTargets),
        ({"accuracy": "max", "latency_s": "min", "avg_macs": "min"}, True, True, ExitTargets),
        ({"accuracy": "max", "avg_macs": "min", "own": "max"}, True, True, PointTargets),
        ({"accuracy": "min", "avg_macs": "min"}, True, True, PointTargets),
        ({"accuracy": "max", "avg_macs": "max"}, True, True, PointTargets),
    ],
)
def test_exits_are_predicted_where_fronts_of_accuracy_and_an_average_cost_are_known(objectives, known, whole, kind):
    assert type(targets(objectives, domain(known), whole)) is kind


@pytest.mark.parametrize("objectives", [DEFAULT, {"avg_macs": "min", "accuracy": "max", "params": "min"}])
def test_one_point_comes_back_as_it_was(objectives):
    found = targets(objectives, domain(), whole_fronts=False)
    losses = {"accuracy": -0.7, "avg_macs": 300.0, "params": 7.0}
    own = tuple(losses[name] for name in objectives)
    learned = found.learn([trial(own)])
    assert learned.shape == (2, 1)
    np.testing.assert_allclose(found.points([FULL], learned), [[own]])


def test_known_costs_are_never_predicted():
    found = targets({"accuracy": "max", "full_macs": "min", "activation_bytes": "min"}, domain(), whole_fronts=True)
    assert found.learn([trial((-0.7, 1.0, 1.0))]).shape == (1, 1)
    np.testing.assert_allclose(found.points([FULL], np.array([[0.7]])), [[[-0.7, 1600, 9]]])


def test_without_known_costs_every_objective_is_predicted():
    found = targets(DEFAULT, domain(costs=False), whole_fronts=True)
    learned = found.learn([trial((-0.7, 300.0), (-0.6, 200.0))])
    np.testing.assert_allclose(learned, [[0.7], [300]])
    np.testing.assert_allclose(found.points([FULL], learned), [[[-0.7, 300]]])


@pytest.mark.parametrize("objectives", [{"params": "min"}, {"params": "min", "full_macs": "max"}])
def test_objectives_that_are_all_known_need_no_model(objectives):
    found = targets(objectives, domain(), whole_fronts=True)
    learned = found.learn([trial((7.0,) * len(objectives))])
    assert learned.shape == (0, 1)
    assert found.features([FULL]).shape[:2] == (0, 1)
    np.testing.assert_allclose(found.points([FULL], learned)[0, 0], [7, -1600][: len(objectives)])


BLOCKS = Domain(
    {"width": [1, 2, 4], "depth": [1, 2, 3], "exit": ["no", "plain", "deep"]},
    valid=lambda sample: sample["width"] > 1 or sample["exit"] != "deep",
    costs=lambda sample: ExitCosts(
        [100 * sample["width"] + 7 * (sample["exit"] == "deep"), 300 * sample["width"] * sample["depth"]][
            sample["exit"] == "no" :
        ],
        params=[5 - sample["depth"]] * (2 - (sample["exit"] == "no")),
    ),
)


@pytest.mark.parametrize("most", [np.inf, 2000])
def test_the_ends_are_the_cheapest_and_the_dearest_network_within_the_limits(most):
    domain = replace(BLOCKS, excess=lambda sample: max(0, BLOCKS.costs(sample).macs[-1] - most))
    every = [dict(zip(BLOCKS.choices, values, strict=True)) for values in itertools.product(*BLOCKS.choices.values())]
    macs = [BLOCKS.costs(sample).macs for sample in every if domain.valid(sample) and domain.excess(sample) <= 0]
    cheapest, dearest = ends(DEFAULT, domain)
    assert BLOCKS.costs(cheapest).macs[0] == min(own[0] for own in macs)
    assert BLOCKS.costs(dearest).macs[-1] == max(own[-1] for own in macs)


def test_every_computed_cost_has_ends():
    samples = ends({**DEFAULT, "params": "min"}, BLOCKS)
    assert [BLOCKS.costs(sample).params[-1] for sample in samples[2:]] == [2, 4]


def test_the_most_that_an_average_can_be_is_its_limit():
    domain = replace(BLOCKS, limits={"avg_macs": 500})
    assert BLOCKS.costs(ends(DEFAULT, domain)[1]).macs[-1] >= 500


@pytest.mark.parametrize(
    ("objectives", "domain"),
    [
        ({"accuracy": "max"}, BLOCKS),
        (DEFAULT, replace(BLOCKS, costs=None)),
        (DEFAULT, replace(BLOCKS, valid=lambda sample: False)),
    ],
)
def test_without_costs_or_valid_networks_there_are_no_ends(objectives, domain):
    assert ends(objectives, domain) == []


@pytest.mark.parametrize("valid", [True, False])
def test_costs_of_the_last_exit_are_known_before_training_even_where_no_network_was_drawn_that_keeps_the_rules(valid):
    domain = replace(BLOCKS, valid=lambda sample: valid)
    assert computed({**DEFAULT, "params": "min"}, domain) == ["params"]
