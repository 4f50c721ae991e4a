"""A bundle is all that is needed: what its weights once came from may be gone."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import timm
import torch
from nni_earlyexit import EarlyExitNetwork, search_spaces
from nni_earlyexit.deploy import export, load_network
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.runtime import Bundle, DamagedBundle
from nni_earlyexit.training.settings import Settings
from safetensors.torch import save_file


def exported(space, folder, **options):
    sample, _ = space.cheapest(exit=-1)
    sample = space.canonical({**sample, "exit0_present": "yes"})
    settings = Settings.from_options(epochs=1, tensorboard=False, threads=1, **options)
    train_one(space, sample, settings, folder / "net", lambda line: None)
    trial = record.load(folder / "net")
    network = EarlyExitNetwork.load(folder / "net")
    export(trial, folder / "bundle", keep_exits=True)
    return network


def check_same(network, folder):
    x = torch.rand(3, *network.input_shape)
    with torch.no_grad():
        for a, b in zip(load_network(folder)(x), network(x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("times", [1, 2])
def test_a_backbone_that_was_trained_here(digits_space, two_exits, tmp_path, times):
    settings = Settings.from_options(epochs=1, tensorboard=False, threads=1)
    train_one(digits_space, two_exits, settings, tmp_path / "given0", lambda line: None)
    for k in range(times):
        space = search_spaces.create("trained", folder=str(tmp_path / f"given{k}"))
        (tmp_path / f"given{k + 1}").mkdir()
        network = exported(space, tmp_path / f"given{k + 1}")
        shutil.copytree(tmp_path / f"given{k + 1}" / "net", tmp_path / f"given{k + 1}", dirs_exist_ok=True)
    bundle = shutil.move(tmp_path / f"given{times}" / "bundle", tmp_path / "bundle")
    for k in range(times + 1):
        shutil.rmtree(tmp_path / f"given{k}")
    assert str(tmp_path) not in (bundle / "architecture.json").read_text()
    check_same(network, bundle)
    (bundle / "backbone" / "backbone.json").write_text("{}")
    with pytest.raises(DamagedBundle, match="backbone.json' is damaged"):
        load_network(bundle)


def test_a_timm_model_with_weights_from_a_file(tmp_path):
    save_file(timm.create_model("test_resnet", num_classes=10).state_dict(), tmp_path / "w.safetensors")
    space = search_spaces.create(
        "timm:test_resnet", weights=str(tmp_path / "w.safetensors"), frozen=True, resolution=32
    )
    images = np.random.default_rng(0).random((400, *space.input_shape), dtype=np.float32)
    np.savez(tmp_path / "data.npz", x=images, y=np.arange(400) % 10)
    network = exported(space, tmp_path, data=f"npz:{tmp_path / 'data.npz'}")
    (tmp_path / "w.safetensors").unlink()
    shutil.rmtree(tmp_path / "net")
    assert "weights" not in Bundle.load(tmp_path / "bundle").architecture.space
    check_same(network, tmp_path / "bundle")
