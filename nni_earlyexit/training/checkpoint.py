"""The state of a training at the end of an epoch, from which it goes on after whatever ended it.

The state of the epoch before lies beside it, for the case that the disk damages the last one.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from nni_earlyexit.utils import files
from nni_earlyexit.utils.progress import Say

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
    path
        The file from which it goes on.
    seconds
        Seconds that the training has taken.
    began, done
        Seconds and epochs that it had taken when the phase began; earlier versions did not write the latter.
    """

    phase: int
    epochs: int
    precision: str
    path: Path
    seconds: float = 0.0
    began: float = 0.0
    done: int | None = None


class Checkpoint(pl.Callback):
    """Callback that writes Lightning's checkpoint after each epoch, whole or not at all.

    Parameters
    ----------
    path
        The file.
    about
        The phase, the precision, and what else of :class:`Progress` stays the same in the phase.
    clock
        Gives the seconds that the training has taken.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], clock: Callable[[], float]) -> None:
        self._path, self._about, self._clock = path, about, clock

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the file."""

        def write(temporary: Path) -> None:
            trainer.save_checkpoint(temporary)
            files.sync(temporary)  # before the one before is gone
            if self._path.exists():
                os.replace(self._path, _before(self._path))

        files.write_whole(self._path, write)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say how far the training is."""
        checkpoint[_KEY] = {**self._about, "epochs": trainer.current_epoch + 1, "seconds": self._clock()}

    @staticmethod
    def read(path: Path, say: Say = lambda line: None) -> Progress | None:
        """Progress of the training that wrote ``path``; ``None`` where there is no such file.

        Where it is damaged, that of the epoch before, which takes its place, and of which ``say`` hears. Nothing in a file is
        executed. ``ValueError`` if none can be read, or they are of something else.
        """
        faults = []
        for each in (path, _before(path)):
            if each.is_file():
                try:
                    progress = _read(each)
                except Exception as error:  # a damaged file can hold anything
                    faults.append(f"{str(each)!r} cannot be read: {' '.join(str(error).split())[:200]}")
                    continue
                if faults:
                    say(f"checkpoint: {faults[0]}; goes on from the one before")
                    os.replace(each, path)  # or the next one would put the damaged one in the place of the good one
                    progress = progress._replace(path=path)
                return progress
        if faults:
            raise ValueError(f"checkpoint: {faults[0]}; remove it to begin anew")
        return None

    @staticmethod
    def exists(path: Path) -> bool:
        """``True`` if there is a training to go on with."""
        return path.is_file() or _before(path).is_file()

    @staticmethod
    def remove(path: Path) -> None:
        """Remove the file and the one before."""
        for each in (path, _before(path)):
            each.unlink(missing_ok=True)


def _before(path: Path) -> Path:
    """The file with the state of the epoch before."""
    return path.with_name(f"{path.name}.before")


def _read(path: Path) -> Progress:
    with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums in it
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} in it is another one")
    return Progress(**torch.load(path, map_location="cpu", weights_only=True)[_KEY], path=path)
