"""The end of a training whose loss is no number any more."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytorch_lightning as pl
from torch import Tensor


class _Step(NamedTuple):
    number: int
    epoch: int
    loss: Tensor


class StopsDiverged(pl.Callback):
    """Callback that raises ``FloatingPointError``, with the step and the last loss, when the loss is NaN or infinite.

    A loss is looked at when the next step is under way, or the epoch over, so that a GPU is never waited for.
    """

    def __init__(self) -> None:
        self._before: float | None = None
        self._step: _Step | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the loss of the step before."""
        self._look()
        self._step = _Step(trainer.global_step, trainer.current_epoch + 1, outputs["loss"].detach())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the loss of the last step."""
        self._look()

    def _look(self) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        loss = float(step.loss)
        if not math.isfinite(loss):
            before = "there was none before" if self._before is None else f"the one before was {self._before:.4g}"
            raise FloatingPointError(
                f"training: the loss is {loss} at step {step.number}, in epoch {step.epoch}; {before}; "
                "a smaller learning_rate, or clip_gradient 1, may help"
            )
        self._before = loss
