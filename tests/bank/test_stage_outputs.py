"""Outputs of the stages, computed once."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from nni_earlyexit.bank.stage_outputs import Backbone, StageOutputs
from nni_earlyexit.data.splits import Data, Split
from nni_earlyexit.nn.preprocessing import Preprocessing
from nni_earlyexit.training.augmentation import Augmentation
from nni_earlyexit.training.recipe import Recipe
from torch import nn


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    stages = [nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, padding=1)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    return Backbone(nn.Identity(), stages, {0: nn.AvgPool2d(2), 1: nn.Identity()}, head)


@pytest.fixture
def task():
    generator = torch.Generator().manual_seed(1)

    def split(inputs):
        x = torch.randint(0, 256, (inputs, 3, 8, 8), generator=generator, dtype=torch.uint8)
        return Split(x, torch.arange(inputs) % 2, preprocessing=Preprocessing((3, 8, 8), (0.5,) * 3, (0.3,) * 3, True))

    return Data("noise", 2, split(40), split(12), split(10), split(8))


def outputs(backbone, task, folder, said=None, views=1):
    augmentation = Augmentation(Recipe(recipe="fast").filled(()), len(task.train))
    say = (lambda line: None) if said is None else said.append
    return StageOutputs(backbone, task, folder, augmentation, views=views, say=say)


def expected(backbone, x, stage):
    with torch.no_grad():
        return dict(backbone.outputs(x))[stage]


def test_they_are_those_of_the_stages_pooled(backbone, task, tmp_path):
    store = outputs(backbone, task, tmp_path)
    for stage, shape in ((0, (4, 4, 4)), (1, (6, 4, 4))):
        data = store.of(stage)
        assert data.input_shape == shape
        torch.testing.assert_close(data.validation.x, expected(backbone, task.validation.x, stage))
        torch.testing.assert_close(data.train.x, expected(backbone, task.train.x, stage), atol=2e-3, rtol=1e-3)
        assert data.train.x.dtype == torch.float32
        assert (len(data.test), data.num_classes) == (0, 2)
        assert torch.equal(data.calibration.y, task.calibration.y)
    with torch.no_grad():
        logits = dict(backbone.outputs(task.validation.x))[2].numpy()
    np.testing.assert_allclose(store.logits()["validation"], logits, atol=1e-5)


def test_all_stages_are_computed_at_once_and_read_again(backbone, task, tmp_path):
    said = []
    outputs(backbone, task, tmp_path, said).of(0)
    assert "stage 0, 1 for every input" in said[0]
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.npy"))
    assert size == pytest.approx((64 + 96) * (40 * 2 + 22 * 4), rel=0.1)
    said.clear()
    outputs(backbone, task, tmp_path, said).of(1)
    assert said == []


def test_views_are_augmented_and_the_same_each_time(backbone, task, tmp_path):
    first = outputs(backbone, task, tmp_path / "a", views=3).of(0)
    again = outputs(backbone, task, tmp_path / "b", views=3).of(0)
    assert (len(first.train), len(first.validation)) == (120, 12)
    assert torch.equal(first.train.x, again.train.x)
    assert torch.equal(first.train.y, task.train.y.repeat(3))
    assert not torch.equal(first.train.x[:40], first.train.x[40:80])
    torch.testing.assert_close(first.validation.x, expected(backbone, task.validation.x, 0))


@pytest.mark.parametrize("damage", ["cut", "gone", "format", "type", "zeros", "header"])
def test_what_is_not_whole_is_computed_again(backbone, task, tmp_path, damage):
    whole = outputs(backbone, task, tmp_path).of(0).train.x.clone()
    array, index = tmp_path / "stage0" / "train.npy", tmp_path / "stage0" / "index.json"
    if damage == "cut":
        array.write_bytes(array.read_bytes()[:200])
    elif damage == "gone":
        index.unlink()
    elif damage == "format":
        index.write_text(index.read_text().replace('"format": 2', '"format": 0'))
    elif damage == "type":
        array.write_bytes(array.read_bytes().replace(b"<f2", b"<i2"))
    else:
        content = bytearray(array.read_bytes())
        at, end = (-512, len(content)) if damage == "zeros" else (9, 10)
        content[at:end] = bytes(end - at % len(content)) if damage == "zeros" else bytes([content[9] ^ 4])
        array.write_bytes(content)
    said = []
    assert torch.equal(outputs(backbone, task, tmp_path, said).of(0).train.x, whole)
    assert any("computes what comes out of stage 0 for" in line for line in said)
    assert ("are damaged; they are computed again" in said[0]) == (damage == "zeros")


def usage(free):
    return lambda path: shutil._ntuple_diskusage(2 * free, free, free)


def test_where_the_disk_is_short_one_stage_is_kept_at_a_time(backbone, task, tmp_path, monkeypatch):
    both = (64 + 96) * (40 * 2 + 22 * 4)
    monkeypatch.setattr(shutil, "disk_usage", usage(both - 1))
    store = outputs(backbone, task, tmp_path)
    first = store.of(0).validation.x.clone()
    assert not (tmp_path / "stage1").exists()
    second = store.of(1)
    torch.testing.assert_close(second.validation.x, expected(backbone, task.validation.x, 1))
    assert torch.equal(store.of(0).validation.x, first)


def test_a_disk_without_room_is_one_sentence(backbone, task, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", usage(1000))
    with pytest.raises(OSError, match=r"bank: .* has 1 kB free, and the outputs of stage 1 for .* fewer views"):
        outputs(backbone, task, tmp_path).of(1)
    assert not list(tmp_path.glob("stage*"))


def test_values_beyond_half_precision_stay_finite(task, tmp_path):
    class Huge(nn.Module):
        def forward(self, x):
            return x * 1e9

    backbone = Backbone(Huge(), [nn.Identity(), nn.Identity()], {0: nn.Identity()}, nn.Flatten())
    assert outputs(backbone, task, tmp_path).of(0).train.x.isfinite().all()
