"""The state of a training at the end of an epoch, from which it goes on after whatever ended it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from nni_earlyexit.utils import files

_KEY = "nni_earlyexit"


class Progress(NamedTuple):
    """Progress of a training.

    Attributes
    ----------
    phase
        Number of the phase, from 0.
    epochs
        Epochs of it that are over.
    precision
        The precision that had been chosen.
    """

    phase: int
    epochs: int
    precision: str


class Checkpoint(pl.Callback):
    """Callback that writes Lightning's checkpoint after each epoch, whole or not at all.

    Parameters
    ----------
    path
        The file.
    phase, precision
        Phase and precision of the training.
    """

    def __init__(self, path: Path, phase: int, precision: str) -> None:
        self._path, self._phase, self._precision = path, phase, precision

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the file."""
        files.write_whole(self._path, trainer.save_checkpoint)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say how far the training is."""
        checkpoint[_KEY] = Progress(self._phase, trainer.current_epoch + 1, self._precision)._asdict()

    @staticmethod
    def read(path: Path) -> Progress | None:
        """Progress of the training that wrote ``path``; ``None`` where there is no such file.

        Nothing in it is executed. ``ValueError`` for a file that is damaged or of something else.
        """
        if not path.is_file():
            return None
        try:
            return Progress(**torch.load(path, map_location="cpu", weights_only=True)[_KEY])
        except Exception as error:  # a damaged file can hold anything
            raise ValueError(
                f"checkpoint: {str(path)!r} cannot be read: {' '.join(str(error).split())[:200]}; remove it to begin anew"
            ) from None
