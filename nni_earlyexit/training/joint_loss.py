"""Training an early-exit network with a joint loss over its exits, and running it.

A plain module of pytorch-lightning; what happens to the numbers is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from nni.nas.evaluator.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class JointLoss(LightningModule):
    """Lightning module: the weighted mean of the exits' cross entropies, AdamW, one learning rate cycle.

    Parameters
    ----------
    exit_weights
        Weight of the exit after each stage, the last one included; those of absent exits do not count. ``None``: equal.
    learning_rate
        Peak of the cycle.
    """

    def __init__(self, exit_weights: Sequence[float] | None = None, learning_rate: float = 0.01) -> None:
        super().__init__()
        self.exit_weights = None if exit_weights is None else tuple(exit_weights)
        self.learning_rate = learning_rate

    def set_model(self, model: nn.Module) -> None:
        """Take ``model``; ``ValueError`` for exit weights that do not fit its exits."""
        super().set_model(model)
        stages = getattr(model, "exit_stages", None)
        weights = None
        if self.exit_weights is not None and stages is not None:
            if len(self.exit_weights) != stages[-1] + 1:
                raise ValueError(
                    f"exit_weights: {len(self.exit_weights)} given for {stages[-1] + 1} stages; one per stage is needed"
                )
            weights = torch.tensor([self.exit_weights[stage] for stage in stages])
            if weights.sum() <= 0:
                raise ValueError(f"exit_weights: {self.exit_weights} leave no weight to exits after stages {stages}")
        self.present_weights = weights

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the mean accuracy of the exits; NNI's one-shot strategies want one number of a supernet's validation."""
        x, y = batch
        hits = torch.stack([(logits.argmax(dim=1) == y).float().mean() for logits in self._exits(x)])
        self.log("default", hits.mean(), batch_size=len(y))

    def _exits(self, x: Tensor) -> list[Tensor]:
        """Logits of each exit; a model of one tensor has one exit."""
        logits = self.model(x)
        return [logits] if isinstance(logits, Tensor) else logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The joint loss of a batch."""
        x, y = batch
        losses = torch.stack([cross_entropy(logits, y) for logits in self._exits(x)])
        if self.present_weights is None:
            return losses.mean()
        weights = self.present_weights.to(losses)
        return (losses * weights).sum() / weights.sum()

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with one learning rate cycle, stepped after every batch."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=0.05, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
