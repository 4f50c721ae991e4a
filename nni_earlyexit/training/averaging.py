"""A moving average of the weights, which is judged and kept in place of the last ones (Polyak and Juditsky, 1992)."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from nni_earlyexit.nn.network import EarlyExitNetwork
from timm.utils.model_ema import ModelEmaV3


class WeightAveraging(pl.Callback):
    """Callback that averages the weights of ``network`` after every step; timm's average, whose decay grows at the start.

    Parameters
    ----------
    network
        The network that is trained.
    decay
        Share of the average that a step keeps.
    """

    def __init__(self, network: EarlyExitNetwork, decay: float) -> None:
        self._network = network
        self._average = ModelEmaV3(network, decay=decay, use_warmup=True, warmup_gamma=10, warmup_power=1.0)
        self._steps = 0

    @property
    def network(self) -> EarlyExitNetwork:
        """The network with averaged weights."""
        return self._average.module

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Follow the network to its device."""
        self._average.module.to(pl_module.device)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Take the step's weights in."""
        self._average.update(self._network, step=self._steps)
        self._steps += 1

    def put_in_place(self) -> None:
        """Give the network its averaged weights."""
        with torch.no_grad():
            self._network.load_state_dict(self._average.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """The average, for a training that goes on later."""
        return {"weights": self._average.module.state_dict(), "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self._average.module.load_state_dict(state_dict["weights"])
        self._steps = int(state_dict["steps"])
