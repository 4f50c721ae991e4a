"""The evaluator: trains one network of a space, fits its cutoffs, and reports what that gives.

It is an NNI Lightning evaluator, so that multi-trial and one-shot strategies of NNI both accept it.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nni
import numpy as np
import pytorch_lightning as pl
import torch
from nni.nas.evaluator.pytorch import DataLoader, Lightning, Trainer
from nni_earlyexit import data as data_sets
from nni_earlyexit import metrics, record, training
from nni_earlyexit.assignment import own_parameters
from nni_earlyexit.network import EarlyExitNetwork
from nni_earlyexit.policy import ExitPolicy
from nni_earlyexit.settings import Settings
from numpy.typing import NDArray


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation.

    ``policy``, ``logits`` and ``labels`` (validation outputs (inputs, exits, classes) and classes (inputs,)) are ``None``
    for a network that was not trained because it misses a limit.
    """

    network: EarlyExitNetwork
    metrics: dict[str, Any]
    policy: ExitPolicy | None
    logits: NDArray[np.float32] | None
    labels: NDArray[np.int64] | None


@nni.trace
class EarlyExitEvaluator(Lightning):
    """Train with a joint loss over the exits, fit cutoffs on validation data, report accuracy and average MACs.

    Parameters
    ----------
    data : str
        Name of a data set, or a ``.npz`` file with arrays ``x`` (inputs, ...) and ``y`` (inputs,).
    epochs : int
        Passes over the training split.
    batch_size : int
        Inputs per step.
    learning_rate : float
        Peak of the learning rate cycle.
    exit_weights : sequence of float, optional
        Weight in the loss of the exit after each stage of the space, the last one included. Equal by default.
    max_avg_macs, max_full_macs : float, optional
        Limits in MACs; see :class:`nni_earlyexit.goal.Goal`. A network that is known to miss one is reported as
        infeasible, with the amount by which it misses, without one training step.
    min_accuracy, max_drop, weight : float, optional
        Which point of the network's trade-off is reported; see :class:`nni_earlyexit.goal.Goal`.
    confidence : str
        Confidence measure of the exits.
    seed : int
        Fixes initial weights, order of batches and the splits.
    threads : int, optional
        CPU threads of a trial; torch's default is all cores, which is slower for small networks run side by side.

    Raises
    ------
    ValueError
        At once, for arguments that cannot work.
    """

    def __init__(
        self,
        data: str = "digits",
        epochs: int = 12,
        batch_size: int = 64,
        learning_rate: float = 0.01,
        exit_weights: Sequence[float] | None = None,
        max_avg_macs: float | None = None,
        max_full_macs: float | None = None,
        min_accuracy: float | None = None,
        max_drop: float | None = None,
        weight: float | None = None,
        confidence: str = "max_prob",
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.settings = Settings(
            data=data,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            exit_weights=None if exit_weights is None else tuple(exit_weights),
            max_avg_macs=max_avg_macs,
            max_full_macs=max_full_macs,
            min_accuracy=min_accuracy,
            max_drop=max_drop,
            weight=weight,
            confidence=confidence,
            seed=seed,
            threads=threads,
        )
        self.goal = self.settings.goal
        self.data = data_sets.load(data, seed)
        super().__init__(
            training.JointLoss(exit_weights, learning_rate),
            self._trainer(),
            train_dataloaders=self._train_batches(),
            val_dataloaders=training.batches(self.data.validation, batch_size, shuffle=False),
        )

    def _train_batches(self) -> DataLoader:
        """The training split in an order that the seed fixes from the start, however much was trained before."""
        return training.batches(self.data.train, self.settings.batch_size, shuffle=True, seed=self.settings.seed)

    def _trainer(self) -> pl.Trainer:
        with quiet():
            return Trainer(
                max_epochs=self.settings.epochs,
                accelerator="auto",
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )

    def evaluate(self, model: EarlyExitNetwork) -> Evaluation:
        """Train ``model`` and measure it on the validation split.

        Inside an NNI trial, the metrics are reported after every epoch and at the end, and what is needed to use the
        network later is written to the trial's folder first (see :mod:`nni_earlyexit.record`).
        """
        if model.input_shape != self.data.input_shape or model.num_classes != self.data.num_classes:
            raise ValueError(
                f"data: {self.data.name!r} has inputs {self.data.input_shape} of {self.data.num_classes} classes, "
                f"the network takes {model.input_shape} of {model.num_classes}"
            )
        start = time.perf_counter()
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        network = metrics.Network(
            sample=model.sample or {},
            exit_stages=model.exit_stages,
            num_stages=len(model.stages),
            exit_costs=model.exit_costs,
            params=sum(parameter.numel() for parameter in model.parameters()),
        )
        report = nni.get_current_parameter() is not None
        if self.goal.excess_macs(network.exit_costs) > 0:
            result = Evaluation(model, metrics.infeasible(network, self.goal), None, None, None)
        else:
            result = self._train(model, network, report)
        result.metrics["train_seconds"] = time.perf_counter() - start
        if report:
            folder = os.environ.get("NNI_OUTPUT_DIR")
            if folder:
                record.save(result, Path(folder), self.settings)
            nni.report_final_result(result.metrics)
        return result

    def _train(self, model: EarlyExitNetwork, network: metrics.Network, report: bool) -> Evaluation:
        validation = self.data.validation
        labels = validation.y.numpy()
        latest: list[Evaluation] = []

        def measure() -> None:
            logits = training.outputs(model, validation.x)
            values, policy = metrics.measured(network, self.goal, logits, labels)
            latest[:] = [Evaluation(model, values, policy, logits, labels)]
            if report:
                nni.report_intermediate_result(values)

        torch.manual_seed(self.settings.seed)
        trainer = self._trainer()  # a Trainer fits once
        trainer.callbacks.append(_EpochEnd(measure))
        # twice as fast on a CPU, and what cuDNN prefers
        model.to(memory_format=torch.channels_last)
        self.module.set_model(model)
        with quiet():
            trainer.fit(self.module, self._train_batches())
        if trainer.interrupted:
            raise KeyboardInterrupt
        return latest[0]

    def _execute(self, model: Any) -> Any:
        """What an NNI strategy's trial runs: build the network that ``model`` stands for, then evaluate it."""
        if nni.get_current_parameter() is model:
            model = own_parameters()
        torch.manual_seed(self.settings.seed)
        return self.evaluate(model.executable_model())


class _EpochEnd(pl.Callback):
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._call()


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
