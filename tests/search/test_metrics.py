from __future__ import annotations

import json

import pytest
from nni_earlyexit.search.metrics import EXIT_METRICS, FINAL, METRICS, comparable, exit_metric, flat, is_final, whole
from nni_earlyexit.search.objectives import DEFAULT_OBJECTIVES, DIRECTIONS


def test_every_objective_is_a_metric_with_a_direction():
    assert {name: METRICS[name].direction for name in DIRECTIONS} == DIRECTIONS
    assert DEFAULT_OBJECTIVES.items() <= DIRECTIONS.items()


def test_what_only_final_results_have_makes_a_result_final():
    assert METRICS["front"].when == FINAL
    assert is_final({"front": {}})
    assert not is_final({"accuracy": 1.0})
    assert not is_final(0.5)


def test_the_metrics_of_an_exit_have_its_stage_in_their_names():
    assert [exit_metric(2, name) for name in EXIT_METRICS] == ["exit2_accuracy", "exit2_share", "exit2_cutoff"]
    with pytest.raises(KeyError):
        exit_metric(0, "macs")


FINAL_RESULT = {
    "default": 9.5,
    "accuracy": 0.97,
    "avg_macs": 2.5e5,
    "full_macs": 300_000,
    "params": 12_345,
    "feasible": 1,
    "excess": 0,
    "epochs": 3,
    "sample": {"stage0_depth": 1, "width": 1.0, "exit0_present": "yes"},
    "exit0_accuracy": 0.9,
    "exit0_share": 0.4,
    "exit0_cutoff": None,
    "front": {"accuracy": [0.9, 0.97], "avg_macs": [1e5, 2.5e5]},
    "optimism": -0.001,
}
AFTER_AN_EPOCH = {name: value for name, value in FINAL_RESULT.items() if name not in ("front", "optimism")}


def as_nni_stores_it(reported):
    return json.loads(json.loads(json.dumps(json.dumps(reported))))


@pytest.mark.parametrize("metrics", [FINAL_RESULT, AFTER_AN_EPOCH], ids=["final", "after an epoch"])
def test_all_metrics_survive_their_way_through_nni(metrics):
    back = whole(as_nni_stores_it(flat(metrics)))
    assert back == metrics
    assert is_final(back) == is_final(metrics)
    assert [type(value) for value in back["sample"].values()] == [int, float, str]


def test_nni_sees_few_numbers_and_one_mapping():
    assert list(flat(FINAL_RESULT)) == ["default", "accuracy", "avg_macs", "full_macs", "params", "details"]
    assert list(flat(AFTER_AN_EPOCH)) == ["default", "exit0_accuracy", "details"]
    assert all(isinstance(value, (int, float)) for name, value in flat(FINAL_RESULT).items() if name != "details")


@pytest.mark.parametrize(
    "reported", [FINAL_RESULT, 0.5, None, {"default": 1.0}, {"details": "{"}, {"details": [1]}, {"details": None}]
)
def test_what_is_not_in_that_form_stays_as_it_is(reported):
    assert whole(reported) == reported


SOUND = {"default": 1, "accuracy": 0.9, "avg_macs": 1e5, "full_macs": 2e5, "feasible": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy": "0.9"},
        {"accuracy": None},
        {"avg_macs": float("nan")},
        {"full_macs": float("inf")},
        {"full_macs": 0},
        {"avg_macs": -1.0},
        {"full_macs": 10**400},
        {"front": {"accuracy": [0.5], "avg_macs": [0]}},
        {"default": True},
        {"front": 3},
        {"front": {"accuracy": [0.5], "avg_macs": []}},
        {"front": {"accuracy": ["x"], "avg_macs": [1]}},
        {"front": {"accuracy": 0.5, "avg_macs": 1}},
    ],
    ids=repr,
)
def test_a_result_with_something_that_is_no_number_is_not_compared(changes):
    reported = {**SOUND, **changes}
    assert comparable(reported) == {**reported, "feasible": 0}


def test_a_sound_result_is_compared_as_it_is():
    for reported in (SOUND, {**SOUND, "front": {"accuracy": [0.5], "avg_macs": [1]}}, {**SOUND, "front": None}):
        assert comparable(reported) is reported
    assert comparable(0.5) == {"default": 0.5}
    without = {name: value for name, value in SOUND.items() if name != "full_macs"}
    assert comparable(without) == {**without, "full_macs": without["avg_macs"]}
