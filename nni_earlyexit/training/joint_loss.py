"""The loss of an early-exit network over its exits, as a module of Lightning.

What happens to the numbers that come out is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from nni.nas.evaluator.pytorch import LightningModule
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.training.cropped_kernels import cropped_kernels
from nni_earlyexit.training.distillation import distillation_loss
from nni_earlyexit.training.exit_weights import exit_weights
from nni_earlyexit.training.gradient_equilibrium import gradient_equilibrium
from nni_earlyexit.training.mixing import Mixing
from nni_earlyexit.training.optimizer import create_optimizer, create_schedule
from nni_earlyexit.training.phases import Phase
from nni_earlyexit.training.recipe import Recipe
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class JointLoss(LightningModule):
    """Lightning module: the weighted mean of the exits' losses, and the optimizer of a recipe.

    To train in a way of one's own, override :meth:`loss`, :meth:`training_step` or :meth:`configure_optimizers`.

    Parameters
    ----------
    recipe
        The recipe, with a value for every option (:meth:`Recipe.filled`); what it lacks is that of ``plain``.
    class_counts
        Training inputs of each class, needed for ``class_weights``.
    """

    def __init__(self, recipe: Recipe | None = None, class_counts: Sequence[int] | None = None) -> None:
        super().__init__()
        self.recipe = (recipe or Recipe()).filled(())
        self.class_counts = None if class_counts is None else tuple(class_counts)
        self.exit_losses: list[Tensor] = []
        """The losses of the exits in the last step, for whoever watches."""
        self._running: tuple[nn.Module, ...] = ()  # in a tuple, so that its weights are not registered a second time
        self._weights: list[float] = []
        self._changes = ExitStack()  # of the layers, while they are trained
        self._mixing = Mixing(self.recipe)
        self._frozen: tuple[nn.Module, ...] = ()
        self._learning: list[nn.Parameter] = []
        self._teaches = False  # the last exit teaches the others without learning itself

    def set_model(self, model: nn.Module) -> None:
        """Take ``model``, all of whose exits learn; ``ValueError`` for exit weights that do not fit them."""
        super().set_model(model)
        self._running, self._frozen, self._weights = (), (), []
        if isinstance(model, EarlyExitNetwork):
            self._weights = exit_weights(self.recipe.exit_weights, model)

    def start(self, phase: Phase) -> None:
        """Train a part of the network from now on."""
        network = self.model
        weights = exit_weights(self.recipe.exit_weights, network)
        self._weights = [weights[exit] for exit in phase.exits]
        if sum(self._weights) <= 0:
            self._weights = [1.0] * len(phase.exits)  # an exit without weight that learns alone
        self._teaches = phase.frozen and self.recipe.distillation > 0
        part = network if self._teaches else network.keep(phase.exits)
        self._running = (part,)
        self._changes.close()
        self._changes.enter_context(cropped_kernels(part))
        if self.recipe.gradient_equilibrium:
            self._changes.enter_context(gradient_equilibrium(part))
        if phase.frozen:
            last = network.exits[str(network.exit_stages[-1])]
            self._frozen = (network.stem, network.stages, last)
            self._learning = [
                parameter for piece in self._frozen for parameter in piece.parameters() if parameter.requires_grad
            ]
            for parameter in self._learning:
                parameter.requires_grad_(False)

    def finish(self) -> None:
        """Let go of what :meth:`start` took hold of."""
        self._changes.close()
        for parameter in self._learning:
            parameter.requires_grad_(True)
        self._frozen, self._learning, self._teaches = (), [], False

    def train(self, mode: bool = True) -> JointLoss:
        """Set the mode; what is frozen keeps the statistics of its normalisation."""
        super().train(mode)
        for piece in self._frozen:
            piece.eval()
        return self

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the mean accuracy of the exits; NNI's one-shot strategies want one number of a supernet's validation."""
        x, y = batch
        hits = torch.stack([(logits.argmax(dim=1) == y).float().mean() for logits in self._exits(self.model, x)])
        self.log("default", hits.mean(), batch_size=len(y))

    @staticmethod
    def _exits(model: nn.Module, x: Tensor) -> list[Tensor]:
        """Logits of each exit; a model of one tensor has one exit."""
        logits = model(x)
        return [logits] if isinstance(logits, Tensor) else logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The joint loss of a batch."""
        x, y = self._mixing(*batch, getattr(self.model, "num_classes", len(self.class_counts or ())))
        return self.loss(self._exits(self._running[0] if self._running else self.model, x), y)

    def loss(self, logits: list[Tensor], y: Tensor) -> Tensor:
        """The joint loss of the exits' ``logits``, each (batch, classes); ``y`` is (batch,) or, mixed, (batch, classes)."""
        rare = None
        if self.recipe.class_weights and self.class_counts is not None:
            counts = torch.tensor(self.class_counts, device=logits[0].device).float().clamp(min=1)
            rare = counts.sum() / (len(counts) * counts)
        smoothing = (self.recipe.label_smoothing or 0.0) if y.ndim == 1 else 0.0  # mixed ones are smoothed already
        outputs = [exit.float() for exit in logits]
        teacher = outputs[-1]
        if self._teaches:
            del outputs[-1]
        losses = [cross_entropy(exit, y, weight=rare, label_smoothing=smoothing) for exit in outputs]
        self.exit_losses = [loss.detach() for loss in losses]  # as numbers, a GPU would be waited for
        share = self.recipe.distillation
        if share > 0:
            losses = [
                loss if exit is teacher else (1 - share) * loss + share * distillation_loss(exit, teacher)
                for loss, exit in zip(losses, outputs, strict=True)
            ]
        if len(self._weights) != len(losses) or len(set(self._weights)) == 1:
            return torch.stack(losses).mean()
        weights = torch.tensor(self._weights, device=losses[0].device)
        return (torch.stack(losses) * weights).sum() / weights.sum()

    def configure_optimizers(self) -> dict[str, Any]:
        """The recipe's optimizer and learning rate, which changes after every batch."""
        optimizer = create_optimizer(self.recipe, self, bfloat16=self.trainer.precision == "bf16-mixed")
        schedule = create_schedule(self.recipe, optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
