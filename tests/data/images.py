"""Image files and data sets that tests make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed, size=(8, 8), channels=3):
    """An image (height, width, channels) of random blots, large enough to be told apart when it is resized."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, channels), dtype=np.uint8)
    height, width = size
    return coarse.repeat(-(-height // 4), axis=0).repeat(-(-width // 4), axis=1)[:height, :width]


def save(path: Path, seed, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, size)).save(path)


def class_folders(root: Path, classes=("cat", "dog"), count=20, size=(8, 8), seed=0, ending="png"):
    """``count`` images of each class, all of them different."""
    for c, name in enumerate(classes):
        for i in range(count):
            save(root / name / f"{i:03}.{ending}", (seed, c, i), size)
    return root


def truncate(path: Path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
