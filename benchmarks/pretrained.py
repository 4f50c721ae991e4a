"""Accuracy of a given network through the last exit of its space, on ImageNet's images in folders of WordNet numbers.

python benchmarks/pretrained.py lite0.safetensors IMAGENETTE/val --each 30
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.nn.preprocessing import Preprocessing
from PIL import Image
from timm.data import ImageNetInfo


def main() -> None:
    """Print the accuracy over all classes and among those that there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--each", type=int, default=30, help="images of each class, the first by their names")
    arguments = parser.parse_args()
    space = search_spaces.create(f"timm:{arguments.model} weights={arguments.weights.resolve()} frozen=true")
    network = space.freeze(space.sample(np.random.default_rng(0))).eval()
    prepare = Preprocessing(tuple(space.input_shape), mean=space.mean, std=space.std, pixels=True)
    names = ImageNetInfo("imagenet-1k").label_names()
    present = [names.index(folder.name) for folder in sorted(arguments.folder.iterdir())]
    right = among = count = 0
    for label in present:
        for path in sorted((arguments.folder / names[label]).iterdir())[: arguments.each]:
            with Image.open(path) as image, torch.no_grad():
                logits = network(prepare.inputs(np.asarray(image.convert("RGB"))))[-1][0]
            right += int(logits.argmax()) == label
            among += present[int(logits[present].argmax())] == label
            count += 1
    print(f"{count} images: {right} ({right / count:.1%}) right of {len(logits):,} classes, ", end="")
    print(f"{among} ({among / count:.1%}) among the {len(present)}")


if __name__ == "__main__":
    main()
