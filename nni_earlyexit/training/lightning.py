"""Lightning, quiet, with what happens at the start and the end of an epoch."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytorch_lightning as pl
import torch


class EpochStart(pl.Callback):
    """Callback that makes what an epoch draws depend on the seed and the epoch alone, so that it can be drawn again.

    Parameters
    ----------
    seed
        Seed of the training.
    before
        Epochs of earlier phases.
    """

    def __init__(self, seed: int, before: int) -> None:
        self._seed, self._before = seed, before

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed what is random, and set the mode, which whoever looked at the network after the last epoch may have changed."""
        epoch = self._before + trainer.current_epoch
        (drawn,) = np.random.SeedSequence([self._seed, epoch]).generate_state(1).tolist()
        torch.manual_seed(drawn)
        # timm's mixup and random erasing draw from these
        np.random.seed(drawn)  # noqa: NPY002
        random.seed(drawn)
        pl_module.train()


class EpochEnd(pl.Callback):
    """Callback that passes on the number of epochs that are over, and ends the training when it hears ``False``."""

    def __init__(self, call: Callable[[int], bool]) -> None:
        self._call = call

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pass on the number of epochs."""
        if not self._call(trainer.current_epoch + 1):
            trainer.should_stop = True


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning without its advertisements: what it says about devices, workers and logging is no news here."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore",
                module="pytorch_lightning",
                message=".*(does not have many workers|in eval mode|logging interval|validation_step|GPU available|LeafSpec).*",
            )
            yield
    finally:
        logger.setLevel(level)
