"""Augmentation of whole batches as tensors, before they are normalised.

Shifts and mirrors are one look-up of pixels, which costs next to nothing beside a network; RandAugment is torchvision's, on a
few groups of images at a time.
"""

from __future__ import annotations

import numpy as np
import torch
from nni_earlyexit.nn.preprocessing import UNKNOWN_WORD
from nni_earlyexit.nn.tokens import PADDING
from nni_earlyexit.training.recipe import Recipe
from torch import Tensor

GROUPS = 8
"""RandAugment draws its operations for so many groups of a batch, not for each image, which would take longer than the
network."""


class Augmentation:
    """Random changes of a batch: images (batch, channels, height, width), uint8 or float, or token ids (batch, tokens).

    Parameters
    ----------
    recipe
        The values of ``shift``, ``mirror`` and ``randaugment``, and of ``word_dropout``.
    length
        Number of inputs in the training split.
    """

    def __init__(self, recipe: Recipe, length: int) -> None:
        self._shift = recipe.shift or 0.0
        self._mirror = recipe.mirror or "none"
        self._magnitude = recipe.randaugment or 0
        self._word_dropout = recipe.word_dropout or 0.0
        self._seed = recipe.seed
        # which images start mirrored, if they alternate
        self._first = torch.rand(length, generator=torch.Generator().manual_seed(recipe.seed)) < 0.5

    @property
    def changes_nothing(self) -> bool:
        """``True`` if inputs stay as they are."""
        return self._shift == self._magnitude == self._word_dropout == 0 and self._mirror == "none"

    def __call__(self, x: Tensor, places: Tensor, epoch: int) -> Tensor:
        """The changed inputs; ``places`` are theirs in the training split.

        What is drawn depends on the seed, the epoch and the places alone, so that it is the same whoever reads ahead, and after
        an interruption.
        """
        sentences = x.ndim == 2 and not x.is_floating_point()
        if self.changes_nothing or not (sentences or x.ndim == 4):
            return x
        (drawn,) = (
            np.random.SeedSequence([self._seed, epoch, int(places[0]), int(places[-1])]).generate_state(1).tolist()
        )
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(drawn)
            if sentences:
                hidden = (torch.rand(x.shape) < self._word_dropout) & (x != PADDING)
                return x.masked_fill(hidden, UNKNOWN_WORD)
            if self._magnitude:
                x = self._randaugmented(x)
            return self._moved(x, places, epoch)

    def _moved(self, x: Tensor, places: Tensor, epoch: int) -> Tensor:
        batch, _, height, width = x.shape
        mirrored = self._mirrored(places, epoch)
        rows, columns = _shifted(batch, height, self._shift), _shifted(batch, width, self._shift)
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
        images = x.permute(0, 2, 3, 1)  # channels last, so that a pixel is copied as a whole
        which = torch.arange(batch)
        return images[which[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def _mirrored(self, places: Tensor, epoch: int) -> Tensor:
        if self._mirror == "alternating":
            return self._first[places] ^ bool(epoch % 2)
        if self._mirror == "random":
            return torch.rand(len(places)) < 0.5
        return torch.zeros(len(places), dtype=torch.bool)

    def _randaugmented(self, x: Tensor) -> Tensor:
        from torchvision.transforms.v2 import RandAugment

        change = RandAugment(magnitude=self._magnitude)
        return torch.cat([change(group.contiguous()) for group in x.tensor_split(min(GROUPS, len(x)))])


def _shifted(batch: int, length: int, share: float) -> Tensor:
    """Positions (batch, length) of the pixels that come to each place; beyond the edge the image is reflected."""
    most = min(round(length * share), length - 1)
    positions = torch.arange(length) + torch.randint(-most, most + 1, (batch, 1))
    positions = positions.abs()
    return torch.where(positions >= length, 2 * (length - 1) - positions, positions)
