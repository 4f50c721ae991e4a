"""The recipes that have a name: sets of values for the options of a training.

======== ==================================================================================================
plain    inputs as they are, one learning rate cycle of AdamW; for arrays and very small images
fast     for images in few epochs: shifts and alternating mirrors (Jordan, 2024, "94% on CIFAR-10 in 3.29
         seconds"), Muon (Jordan et al., 2024), smoothed labels, an average of the weights
standard for some tens of epochs: as fast, and random erasing and a little mixup
strong   for hundreds of epochs: RandAugment, mixup, cutmix and erasing, which pay only when there is time
branches for exit branches on what comes out of a backbone that is kept
words    for sentences: half of the words are hidden at each look (Iyyer et al., 2015), or a network learns a few
         thousand sentences by heart
======== ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nni_earlyexit.utils.checks import lookup

AUTO = "auto"
SMALLEST_IMAGE = 16
"""Pixels on a side of the smallest images that ``auto`` takes ``fast`` for; smaller ones lose too much by a shift."""

AUGMENTATION = ("shift", "mirror", "randaugment", "erasing", "mixup", "cutmix", "word_dropout")
"""Values that say how inputs are changed; those of ``plain`` change nothing."""

PLAIN: Mapping[str, Any] = {
    "batch_size": 64,
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "weight_decay": 0.05,
    "schedule": "onecycle",
    "warmup": 0.3,
    "label_smoothing": 0.0,
    "clip_gradient": 0.0,
    "averaging": 0.0,
    "shift": 0.0,
    "mirror": "none",
    "randaugment": 0,
    "erasing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "word_dropout": 0.0,
    "precision": "float32",
}

FAST: Mapping[str, Any] = {
    **PLAIN,
    "batch_size": 128,
    "optimizer": "muon",
    "learning_rate": 0.02,
    "weight_decay": 0.01,
    "schedule": "linear",
    "warmup": 0.25,
    "label_smoothing": 0.1,
    "averaging": 0.998,
    "shift": 1 / 16,
    "mirror": "alternating",
    "precision": AUTO,
}

STANDARD: Mapping[str, Any] = {**FAST, "schedule": "cosine", "warmup": 0.1, "erasing": 0.25, "mixup": 0.1}

STRONG: Mapping[str, Any] = {**STANDARD, "randaugment": 9, "mixup": 0.2, "cutmix": 1.0}

WORDS: Mapping[str, Any] = {
    **PLAIN,
    "learning_rate": 0.0005,
    "weight_decay": 1.0,
    "label_smoothing": 0.1,
    "averaging": 0.99,
    "word_dropout": 0.5,
}

BRANCHES: Mapping[str, Any] = {**PLAIN, "batch_size": 256, "learning_rate": 0.005}

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "plain": PLAIN,
    "fast": FAST,
    "standard": STANDARD,
    "strong": STRONG,
    "words": WORDS,
    "branches": BRANCHES,
}


def values(recipe: str, input_shape: Sequence[int] = (), *, sentences: bool = False) -> Mapping[str, Any]:
    """The values of the recipe called ``recipe``; of ``auto``, those that suit inputs of this shape, or sentences."""
    if recipe == AUTO:
        images = len(input_shape) == 3 and min(input_shape[1:]) >= SMALLEST_IMAGE
        recipe = "words" if sentences else "fast" if images else "plain"
    return lookup(RECIPES, recipe, "recipe")
