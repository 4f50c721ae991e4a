"""Fitting: a network, data and a recipe in, a trained network out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from nni.nas.evaluator.pytorch import Trainer
from nni_earlyexit.data.loaders import batches, readers
from nni_earlyexit.data.splits import Data
from nni_earlyexit.nn.layout import in_channels_last
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.training.augmentation import Augmentation
from nni_earlyexit.training.averaging import WeightAveraging
from nni_earlyexit.training.checkpoint import Checkpoint
from nni_earlyexit.training.divergence import StopsDiverged
from nni_earlyexit.training.joint_loss import JointLoss
from nni_earlyexit.training.lightning import EpochEnd, EpochStart, quiet
from nni_earlyexit.training.phases import phases
from nni_earlyexit.training.precision import STEPS, choose_precision
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.recipes import AUTO
from nni_earlyexit.utils import garbage
from nni_earlyexit.utils.progress import Say

AfterEpoch = Callable[[int, EarlyExitNetwork], bool]
"""Gets the number of epochs that are over and the network as it would be kept; ``False`` ends the training."""

MOST_CHOOSING = 0.02
"""A precision is only chosen by trying where that takes at most this share of the steps."""


def fit(
    network: EarlyExitNetwork,
    data: Data,
    recipe: Recipe,
    after_epoch: AfterEpoch,
    module: JointLoss | None = None,
    *,
    callbacks: Sequence[pl.Callback] = (),
    checkpoint: Path | None = None,
    say: Say = lambda line: None,
) -> None:
    """Train ``network`` on the training split of ``data`` in place.

    Parameters
    ----------
    network, data, recipe
        The network to train, the data, and the recipe, whose missing values are filled in.
    after_epoch
        Function that hears of each epoch; of a network without anything to learn it is called once, with 0, and where what goes
        on was over, with its epochs.
    module
        Module with the loss and the optimizer; that of the recipe by default.
    callbacks
        Callbacks of Lightning that take part in every phase, such as a progress bar.
    checkpoint
        File that the training goes on from if it is there, and that is written after every epoch; the one before is kept.
    say
        Hears which precision was chosen, and of a damaged ``checkpoint``, in place of which the one before is used.

    Raises
    ------
    KeyboardInterrupt
        When Ctrl-C ended it.
    FloatingPointError
        When the loss is no number any more.
    """
    garbage.search_as_usual()  # what a program needs is imported by now
    recipe = filled(recipe, data)
    torch.manual_seed(recipe.seed)
    in_channels_last(network)
    module = module or JointLoss(recipe, class_counts(data))
    module.set_model(network)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        after_epoch(0, network)
        return
    state = Checkpoint.read(checkpoint, say) if checkpoint is not None else None
    if recipe.precision == AUTO:
        recipe = replace(
            recipe, precision=_precision(network, data, recipe, module, say) if state is None else state.precision
        )
    augmentation = Augmentation(recipe, len(data.train))
    start, limit = time.monotonic(), math.inf if recipe.time_limit is None else recipe.time_limit
    taken = 0.0 if state is None else state.seconds
    # epochs by the plan, which fix what is drawn, and those that there were, for a limit of time can end a phase before
    before, done, heard, ended = 0, 0, False, False

    def clock() -> float:
        return taken + time.monotonic() - start

    for number, phase in enumerate(phases(recipe, network)):
        if state is not None and number < state.phase:
            before += phase.epochs
            continue
        resumed = state if state is not None and number == state.phase else None
        if resumed is not None:
            done = before if resumed.done is None else resumed.done
        epochs_of_phase = 0 if resumed is None else resumed.epochs
        average = WeightAveraging(network, recipe.averaging) if recipe.averaging else None
        # each phase has its part of the time, so that none is left out; Lightning counts what it had before an interruption
        began = clock() if resumed is None else resumed.began
        seconds = limit * (before + phase.epochs) / recipe.epochs - began
        judged = network if average is None else average.network

        def call(epochs: int, done: int = done, judged: EarlyExitNetwork = judged) -> bool:
            nonlocal ended, heard, epochs_of_phase
            heard, epochs_of_phase = True, epochs
            ended = not after_epoch(done + epochs, judged)
            return not ended

        about = {"phase": number, "precision": str(recipe.precision), "began": began, "done": done}
        loop = trainer(
            replace(recipe, epochs=phase.epochs),
            max(1.0, seconds),
            [
                EpochStart(recipe.seed, before),
                StopsDiverged(),
                *([average] if average is not None else []),
                *callbacks,
                EpochEnd(call),
                *([Checkpoint(checkpoint, about, clock)] if checkpoint is not None else []),
            ],
        )
        module.start(phase)
        # orders of batches that the seed fixes from the start, however much was trained before
        train = batches(
            data.train,
            recipe.batch_size or 1,
            shuffle=True,
            seed=recipe.seed,
            augment=None if augmentation.changes_nothing else augmentation,
            workers=readers(data.train, data.workers),
            skip_epochs=before + (0 if resumed is None else resumed.epochs),
        )
        try:
            with quiet():
                loop.fit(module, train, ckpt_path=None if resumed is None else resumed.path, weights_only=True)
        except SystemExit:  # Lightning's way to end after Ctrl-C
            if not loop.interrupted:
                raise
        finally:
            module.finish()
        if loop.interrupted:
            raise KeyboardInterrupt
        if average is not None:
            average.put_in_place()
        network.to(loop.strategy.root_device)  # Lightning takes it back to the CPU
        before, done = before + phase.epochs, done + epochs_of_phase
        if ended:
            break
    if not heard:  # what goes on was over but for this
        after_epoch(done, network)


def filled(recipe: Recipe, data: Data) -> Recipe:
    """The recipe with a value for every option, as it suits ``data``."""
    return recipe.filled(data.input_shape, sentences=data.preprocessing.vocabulary is not None)


def class_counts(data: Data) -> list[int]:
    """Training inputs of each class."""
    return np.bincount(data.train.y.numpy(), minlength=data.num_classes).tolist()


def trainer(recipe: Recipe, time_limit: float = math.inf, callbacks: Sequence[pl.Callback] = ()) -> pl.Trainer:
    """Lightning's trainer without logs, checkpoints and bars; it fits once, and ends after ``time_limit`` seconds."""
    with quiet():
        return Trainer(
            max_epochs=recipe.epochs,
            max_time=None if math.isinf(time_limit) else timedelta(seconds=time_limit),
            precision="bf16-mixed" if recipe.precision == "bfloat16" else "32-true",
            gradient_clip_val=recipe.clip_gradient or None,
            accelerator="auto",
            devices=1,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )


def _precision(network: EarlyExitNetwork, data: Data, recipe: Recipe, module: JointLoss, say: Say) -> str:
    """The precision that is faster in a few steps; float32 where trying would take too large a part of the training."""
    size = min(recipe.batch_size or 1, len(data.train))
    steps = recipe.epochs * (len(data.train) // size)
    if MOST_CHOOSING * steps < 2 * (STEPS + 1):
        return "float32"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x, y = data.train.prepared(slice(size)).to(device), data.train.y[:size].to(device)
    chosen, gain = choose_precision(network.to(device), x, lambda logits: module.loss(logits, y))
    say(f"computing in {chosen}: a step in bfloat16 is {gain:.2f} times as fast as in float32")
    return chosen
