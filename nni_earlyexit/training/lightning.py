"""Lightning, quiet, with one callback."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytorch_lightning as pl


class EpochEnd(pl.Callback):
    """Callback that passes on the number of epochs that are over."""

    def __init__(self, call: Callable[[int], None]) -> None:
        self._call = call

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pass on the number of epochs."""
        self._call(trainer.current_epoch + 1)


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
                message=".*(does not have many workers|logging interval|validation_step|GPU available|LeafSpec).*",
            )
            yield
    finally:
        logger.setLevel(level)
