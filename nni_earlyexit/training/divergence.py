"""The end of a training whose loss is no number any more."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl


class StopsDiverged(pl.Callback):
    """Callback that raises ``FloatingPointError``, with the step and the last loss, when the loss is NaN or infinite."""

    def __init__(self) -> None:
        self._last: float | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the loss of the step."""
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            before = "there was none before" if self._last is None else f"the one before was {self._last:.4g}"
            raise FloatingPointError(
                f"training: the loss is {loss} at step {trainer.global_step}, in epoch {trainer.current_epoch + 1}; {before}; "
                "a smaller learning_rate, or clip_gradient 1, may help"
            )
        self._last = loss
