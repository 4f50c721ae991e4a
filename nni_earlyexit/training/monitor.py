"""TensorBoard events of a training: losses and accuracy of each exit, learning rate, images a second.

In a trial they lie in the folder ``tensorboard`` of the trial, where the TensorBoard button of NNI's web UI looks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from nni_earlyexit.search.metrics import SAMPLE

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
EVERY = 20
"""Steps between two events."""


class Monitor(pl.Callback):
    """Callback that writes events of each few steps, and of each epoch what :meth:`epoch` is given.

    Parameters
    ----------
    writer
        TensorBoard's writer; ``None`` writes nothing.
    """

    def __init__(self, writer: SummaryWriter | None) -> None:
        self._writer = writer
        self._since, self._inputs, self._steps = time.perf_counter(), 0, 0

    @classmethod
    @contextmanager
    def writing(cls, folder: str | Path | None) -> Iterator[Monitor]:
        """A monitor that writes to ``tensorboard`` in ``folder``; without a folder it writes nothing."""
        if folder is None:
            yield cls(None)
            return
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(Path(folder) / FOLDER))
        try:
            yield cls(writer)
        finally:
            writer.close()

    @property
    def callbacks(self) -> Sequence[pl.Callback]:
        """Itself, if it writes anything."""
        return () if self._writer is None else (self,)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count; what came between two epochs is no training."""
        self._since, self._inputs = time.perf_counter(), 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the losses, the learning rate and the speed, every few steps."""
        self._steps += 1
        self._inputs += len(batch[1])
        if self._writer is None or self._steps % EVERY:
            return
        now = time.perf_counter()
        self._writer.add_scalar("inputs a second", self._inputs / (now - self._since), self._steps)
        self._writer.add_scalar("learning rate", trainer.optimizers[0].param_groups[0]["lr"], self._steps)
        self._writer.add_scalar("loss/all", float(outputs["loss"]), self._steps)
        for exit, loss in enumerate(getattr(pl_module, "exit_losses", ())):
            self._writer.add_scalar(f"loss/exit {exit}", float(loss), self._steps)
        self._since, self._inputs = now, 0

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, for a training that goes on later."""
        return {"steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self._steps = int(state_dict["steps"])

    def epoch(self, metrics: Mapping[str, Any]) -> None:
        """Write the numbers among the metrics of an epoch."""
        if self._writer is not None:
            for name, value in metrics.items():
                if name != SAMPLE and isinstance(value, (int, float)):
                    self._writer.add_scalar(f"validation/{name}", value, metrics["epochs"])
            self._writer.flush()
