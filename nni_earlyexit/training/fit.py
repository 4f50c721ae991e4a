"""Fitting: a network, data and a recipe in, a trained network out."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl
import torch
from nni.nas.evaluator.pytorch import Trainer
from nni_earlyexit.data.loaders import batches
from nni_earlyexit.data.splits import Data
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.training.joint_loss import JointLoss
from nni_earlyexit.training.lightning import EpochEnd, quiet
from nni_earlyexit.training.recipe import Recipe


def fit(
    network: EarlyExitNetwork,
    data: Data,
    recipe: Recipe,
    after_epoch: Callable[[int], bool],
    module: JointLoss | None = None,
) -> None:
    """Train ``network`` on the training split of ``data`` in place.

    ``after_epoch`` is called with the number of epochs that are over, and ends the training when it returns ``False``. Of a
    network without anything to learn it is called once, with 0. ``module`` has the loss and the optimizer.

    Raises ``KeyboardInterrupt`` when Ctrl-C ended it.
    """

    def call(epochs: int) -> None:
        if not after_epoch(epochs):
            loop.should_stop = True

    module = module or JointLoss(recipe.exit_weights, recipe.learning_rate)
    torch.manual_seed(recipe.seed)
    loop = trainer(recipe.epochs)
    loop.callbacks.append(EpochEnd(call))  # type: ignore[attr-defined]
    # twice as fast on a CPU, and what cuDNN prefers
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.set_model(network)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        after_epoch(0)
        return
    # an order of batches that the seed fixes from the start, however much was trained before
    train = batches(data.train, recipe.batch_size, shuffle=True, seed=recipe.seed)
    with quiet():
        loop.fit(module, train)
    if loop.interrupted:
        raise KeyboardInterrupt


def trainer(epochs: int) -> pl.Trainer:
    """Lightning's trainer without logs, checkpoints and bars; it fits once."""
    with quiet():
        return Trainer(
            max_epochs=epochs,
            accelerator="auto",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
