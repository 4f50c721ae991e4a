"""The example of a trained network: its exits are searched, and it stays as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from nni_earlyexit import EarlyExitNetwork
from nni_earlyexit.experiment.environment import environment
from PIL import Image
from safetensors.torch import save_file
from support import free_port

pytestmark = pytest.mark.nni

EXAMPLE = Path(__file__).parents[2] / "examples" / "pretrained" / "search.py"


@pytest.mark.long
def test_only_the_exits_of_a_frozen_network_are_searched_and_trained(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=3)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()}, tmp_path / "given.safetensors"
    )
    rng = np.random.default_rng(0)
    for part, number in (("train", 24), ("test", 8)):
        for label in range(3):
            folder = tmp_path / "images" / part / f"class{label}"
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 100, (40, 48, 3)) + np.eye(3, dtype=int)[label] * 120
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")

    done = subprocess.run(
        [
            sys.executable, str(EXAMPLE), "given.safetensors", f"folder:{tmp_path / 'images'}", "--model", "resnet10t",
            "--trials", "2", "--epochs", "2", "--port", str(free_port()),
        ],
        cwd=tmp_path, env={**environment(), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True, text=True, timeout=850, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    trials = [path.parent for path in (tmp_path / "nni-experiments").rglob("trial.json")]
    assert len(trials) == 2, done.stdout + done.stderr
    given = sorted((tuple(tensor.shape), float(tensor.double().sum())) for tensor in model.state_dict().values())
    for folder in trials:
        network = EarlyExitNetwork.load(folder)
        assert (network.input_shape[0], network.num_classes) == (3, 3)
        assert network.preprocessing.mean == pytest.approx(model.pretrained_cfg["mean"])
        kept = [
            (tuple(tensor.shape), float(tensor.double().sum()))
            for name, tensor in network.state_dict().items()
            if not name.startswith("exits.") or name.startswith(f"exits.{network.exit_stages[-1]}.")
        ]
        assert sorted(kept) == given
        image = Image.open(next((tmp_path / "images" / "test" / "class1").iterdir()))
        assert network.predict(np.asarray(image)).classes.shape == (1,)
