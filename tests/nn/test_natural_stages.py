from __future__ import annotations

import pytest
from nni_earlyexit.nn.natural_stages import natural_stages
from torch import nn


def halving(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.ReLU())


def classifier(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def test_a_stage_ends_where_the_resolution_changes():
    model = nn.Sequential(halving(3), nn.Conv2d(3, 3, 1), halving(3), halving(3), *classifier(3))
    assert natural_stages(model, (3, 32, 32), "it") == ["", "1", "2.1", "3.1"]


def test_what_comes_before_the_last_four_is_the_stem():
    model = nn.Sequential(*(halving(3) for _ in range(6)), *classifier(3))
    assert natural_stages(model, (3, 64, 64), "it") == ["1.1", "2.1", "3.1", "4.1", "5.1"]


def test_blocks_of_one_resolution_are_divided_evenly():
    model = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(8)), *classifier(3))
    assert natural_stages(model, (3, 8, 8), "it") == ["", "1", "3", "5", "7"]


def test_a_block_that_runs_twice_ends_no_stage():
    shared = nn.ReLU()
    model = nn.Sequential(halving(3), shared, halving(3), shared, halving(3), *classifier(3))
    assert "1" not in natural_stages(model, (3, 32, 32), "it")


def test_a_model_without_stages_is_refused():
    with pytest.raises(ValueError, match="model: it cannot be cut into stages: its resolution says nothing; exits="):
        natural_stages(nn.Sequential(*classifier(3)), (3, 8, 8), "it")
