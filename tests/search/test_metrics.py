from __future__ import annotations

import pytest
from nni_earlyexit.search.metrics import EXIT_METRICS, FINAL, METRICS, exit_metric, is_final
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
