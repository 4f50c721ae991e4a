"""Weights of another package under timm's names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm
import torch
from nni_earlyexit import search_spaces

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
    with pytest.raises(SystemExit, match="tensors, the file 1"):
        weights.renamed({names[0]: theirs[names[0]]})
    with pytest.raises(SystemExit, match="is no conv_stem.weight"):
        weights.renamed({**theirs, names[0]: torch.zeros(1)})
