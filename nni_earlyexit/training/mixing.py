"""Changes of normalised batches: mixup, cutmix and random erasing, which are timm's."""

from __future__ import annotations

from typing import Any

from nni_earlyexit.training.recipe import Recipe
from torch import Tensor


class Mixing:
    """Mixup or cutmix of a batch of images with itself, and rectangles erased from it; other inputs stay as they are.

    Parameters
    ----------
    recipe
        The values of ``mixup``, ``cutmix``, ``erasing`` and ``label_smoothing``.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._mixup: Any = None
        self._erasing: Any = None

    def __call__(self, x: Tensor, y: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """The changed batch, and its classes: numbers, or shares of each class (batch, classes) if it was mixed."""
        if x.ndim != 4:
            return x, y
        if self._recipe.mixup or self._recipe.cutmix:
            even = len(x) - len(x) % 2  # timm mixes pairs
            x, y = self._mixed(num_classes)(x[:even].contiguous(), y[:even])
        if self._recipe.erasing:
            x = self._eraser(x)(x)
        return x, y

    def _mixed(self, num_classes: int) -> Any:
        if self._mixup is None:
            from timm.data.mixup import Mixup

            self._mixup = Mixup(
                mixup_alpha=self._recipe.mixup or 0.0,
                cutmix_alpha=self._recipe.cutmix or 0.0,
                label_smoothing=self._recipe.label_smoothing or 0.0,
                num_classes=num_classes,
            )
        return self._mixup

    def _eraser(self, x: Tensor) -> Any:
        if self._erasing is None:
            from timm.data.random_erasing import RandomErasing

            # with zeros, which are the mean
            self._erasing = RandomErasing(self._recipe.erasing or 0.0, mode="const", device=str(x.device))
        return self._erasing
