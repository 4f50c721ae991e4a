"""Weights of another package under timm's names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from nni_earlyexit import search_spaces
from PIL import Image
from safetensors.torch import load_file, save_file

sys.path.append(str(Path(__file__).parents[2] / "examples" / "pretrained"))
import weights


@pytest.fixture(scope="module")
def theirs():
    """The tensors of the model under other names, in the same order."""
    state = timm.create_model(weights.MODEL).state_dict()
    return {f"_blocks.{i}.{name.rpartition('.')[2]}": value for i, (name, value) in enumerate(state.items())}


def test_tensors_get_timms_names_and_the_space_knows_their_normalisation(theirs, tmp_path, monkeypatch):
    torch.save(theirs, tmp_path / "w.pth")
    target = str(tmp_path / "lite0.safetensors")
    monkeypatch.setattr(sys, "argv", ["weights.py", str(tmp_path / "w.pth"), target])
    weights.main()
    space = search_spaces.create(f"timm:{weights.MODEL}", weights=target, frozen=True, resolution=64)
    assert space.mean == space.std == (0.5, 0.5, 0.5)
    sample = {**{label: values[0] for label, values in space.choices.items()}}
    network = space.freeze(sample).eval()
    assert space.exit_costs(sample) == network.exit_costs  # its padding depends on the size of the image
    model = timm.create_model(weights.MODEL).eval()
    model.load_state_dict(dict(zip(model.state_dict(), theirs.values(), strict=True)))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network(x)[-1], model(x), atol=1e-5)


def test_tensors_that_do_not_fit_are_refused(theirs):
    names = list(theirs)
    with pytest.raises(ValueError, match="^FILE.pth: .* tensors, the file 1"):
        weights.renamed({names[0]: theirs[names[0]]})
    with pytest.raises(ValueError, match="^FILE.pth: .* is no conv_stem.weight"):
        weights.renamed({**theirs, names[0]: torch.zeros(1)})


def test_the_classifier_can_be_that_of_the_classes_of_a_folder(theirs, tmp_path, monkeypatch, capsys):
    torch.save(theirs, tmp_path / "w.pth")
    for synset in ("n03888257", "n01440764"):  # ImageNet's classes 701 and 0
        (tmp_path / "train" / synset).mkdir(parents=True)
    target = tmp_path / "two.safetensors"
    words = ["weights.py", tmp_path / "w.pth", target, "--classes", tmp_path / "train"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    weights.main()
    space = search_spaces.create(f"timm:{weights.MODEL}", weights=str(target), frozen=True, resolution=32)
    assert space.num_classes == 2
    whole = weights.renamed(theirs)["classifier.weight"]
    assert torch.equal(load_file(target)["classifier.weight"], whole[[0, 701]])
    (tmp_path / "train" / "cat").mkdir()
    with pytest.raises(SystemExit) as end:
        weights.main()
    assert end.value.code == 2
    assert "'cat'" in (said := capsys.readouterr().err)
    assert "is none of ImageNet's 1,000 synsets" in said


@pytest.mark.slow
@pytest.mark.long
def test_rows_share_a_bank_and_differ_in_what_they_may(examples, run_command, tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=3)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, tmp_path / "w.safetensors")
    rng = np.random.default_rng(0)
    for label, colour in enumerate(np.eye(3, dtype=np.uint8) * 200):
        (tmp_path / "images" / str(label)).mkdir(parents=True)
        for i in range(24):
            pixels = colour + rng.integers(0, 50, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / str(label) / f"{i}.png")
    words = ("w.safetensors", "--model", "resnet10t", "--data", "folder:images", "--results", "own")
    small = ("--targets", 1e9, "--seeds", 1, "--branches", 4, "--epochs", 1, "--jobs", 1)
    said = run_command(sys.executable, examples / "pretrained" / "ladder.py", *words, *small, folder=tmp_path)
    rows = {row["row"]: row for row in json.loads((tmp_path / "own" / "ladder.json").read_text())["results"]}
    assert list(rows) == ["by hand", "constrained", "branches", "tuned", "learned", "dropped"]
    assert len(rows["by hand"]["exit_costs"]) == 3
    for name in ("by hand", "constrained", "branches"):
        assert len(set(rows[name]["policy"]["cutoffs"][:-1])) <= 1, name
    assert rows["learned"]["policy"]["confidence"] == "learned"
    assert "4 branches make" in said
    # branches are trained by the first row that may have them
    assert said.count("trains 4 branches") == 1
    again = run_command(sys.executable, examples / "pretrained" / "ladder.py", *words, *small, folder=tmp_path)
    assert "trains" not in again
