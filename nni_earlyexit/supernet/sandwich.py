"""The loss of a supernet: in every step the largest network, the smallest and some random ones (Yu et al., 2020, "BigNAS").

The largest learns from the labels; the others from the labels and, in equal parts, from the answers of its last exit. From its
answers alone, as in BigNAS, they learn little until it knows something itself, which takes a good part of some tens of epochs.
All exits of a network take part. For a share of the training the largest learns alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.supernet.supernet import Supernet, take_path
from nni_earlyexit.training.distillation import distillation_loss
from nni_earlyexit.training.joint_loss import JointLoss
from nni_earlyexit.training.recipe import Recipe
from torch import Tensor

RANDOM = 2
"""Random networks in a step."""
ALONE = 0.1
"""Share of the steps in which the largest network learns alone."""
TAUGHT = 0.5
"""Share of the smaller networks' loss that is taken from the largest network's answers."""
TEMPERATURE = 1.0
"""Its answers are taught as they are."""


class Sandwich(JointLoss):
    """Lightning module: the mean loss of several networks of a supernet.

    Parameters
    ----------
    supernet
        The supernet.
    recipe, class_counts
        As for :class:`JointLoss`.
    random
        Random networks in a step, beside the largest and the smallest.
    """

    def __init__(
        self,
        supernet: Supernet,
        recipe: Recipe | None = None,
        class_counts: Sequence[int] | None = None,
        *,
        random: int = RANDOM,
    ) -> None:
        super().__init__(recipe, class_counts)
        self._space: EarlyExitSpace = supernet.space
        self._largest, self._smallest = supernet.largest, supernet.smallest
        self._random = random
        self._alone = 0
        """Steps in which the largest network learns alone."""

    def on_train_start(self) -> None:
        """See how many steps there are."""
        self._alone = round(ALONE * int(self.trainer.estimated_stepping_batches))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The mean loss of the networks of a step for a batch."""
        x, y = self._mixing(*batch, self.model.num_classes)
        network = self._running[0]
        losses = []
        teacher = None
        for sample in self._paths(self.trainer.global_step):
            take_path(network, sample)
            logits = self._exits(network, x)
            loss = self.loss(logits, y)
            if teacher is None:
                teacher = logits[-1].detach().float()
            else:
                taught = [distillation_loss(exit.float(), teacher, TEMPERATURE) for exit in logits]
                loss = (1 - TAUGHT) * loss + TAUGHT * torch.stack(taught).mean()
            losses.append(loss)
        return torch.stack(losses).mean()

    def _paths(self, step: int) -> list[Mapping[str, Any]]:
        """The networks of a step, the largest first; the seed and the step alone decide which."""
        if step < self._alone:
            return [self._largest]
        rng = np.random.default_rng([self.recipe.seed, step])
        return [self._largest, *(self._space.sample(rng) for _ in range(self._random)), self._smallest]
