"""The evaluator: trains one network of a space, fits its cutoffs, and reports what that gives.

It is an NNI Lightning evaluator, so that multi-trial and one-shot strategies of NNI both accept it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nni
import pytorch_lightning as pl
import torch
from nni.nas.evaluator.pytorch import DataLoader, Lightning, Trainer
from nni_earlyexit import data as data_sets
from nni_earlyexit.data.loaders import batches
from nni_earlyexit.evaluation import metrics, record
from nni_earlyexit.evaluation.evaluation import Evaluation
from nni_earlyexit.integration import trial_channel
from nni_earlyexit.integration.assignment import own_parameters
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.nn.network import EarlyExitNetwork, without_exits
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.space import latency_table
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.space.latency_table import Latencies
from nni_earlyexit.training import joint_loss as training
from nni_earlyexit.training.lightning import EpochEnd, quiet
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files
from torch import nn


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
    max_avg_macs, max_full_macs, max_params, max_activation_bytes, max_latency_s : float, optional
        Limits; see :class:`nni_earlyexit.search.goal.Goal`. A network that is known to miss one is reported as infeasible, with
        the amount by which it misses, without one training step.
    latency_table : str, optional
        File of a latency table of this machine (see :mod:`nni_earlyexit.profiling.latency`); ``latency_s`` is reported then.
    input_shape : sequence of int, optional
        Shape that images are resized to: (channels, height, width).
    min_accuracy, max_drop, tolerance, weight : float, optional
    knee : bool, optional
        Which point of the network's trade-off is reported; see :class:`nni_earlyexit.search.goal.Goal`.
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
        max_params: float | None = None,
        max_activation_bytes: float | None = None,
        max_latency_s: float | None = None,
        latency_table: str | None = None,
        input_shape: Sequence[int] | None = None,
        min_accuracy: float | None = None,
        max_drop: float | None = None,
        tolerance: float | None = None,
        weight: float | None = None,
        knee: bool = False,
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
            max_params=max_params,
            max_activation_bytes=max_activation_bytes,
            max_latency_s=max_latency_s,
            latency_table=latency_table,
            input_shape=None if input_shape is None else tuple(input_shape),
            min_accuracy=min_accuracy,
            max_drop=max_drop,
            tolerance=tolerance,
            weight=weight,
            knee=knee,
            confidence=confidence,
            seed=seed,
            threads=threads,
        )
        self.goal = self.settings.goal
        self.data = data_sets.load(data, seed, self.settings.input_shape)
        self._latencies: dict[str, Any] = {}
        self._end_training = False
        super().__init__(
            training.JointLoss(exit_weights, learning_rate),
            self._trainer(),
            train_dataloaders=self._train_batches(),
            val_dataloaders=batches(self.data.validation, batch_size, shuffle=False),
        )

    def _train_batches(self) -> DataLoader:
        """The training split in an order that the seed fixes from the start, however much was trained before."""
        return batches(self.data.train, self.settings.batch_size, shuffle=True, seed=self.settings.seed)

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

    def evaluate(self, model: nn.Module, sample: Mapping[str, Any] | None = None) -> Evaluation:
        """Train ``model`` and measure it on the validation split.

        A network without exits, such as one of NNI's hub, is one with the last exit only; ``sample`` says what it is then.

        Inside an NNI trial, the metrics are reported after every epoch and at the end, and what is needed to use the
        network later is written to the trial's folder first (see :mod:`nni_earlyexit.evaluation.record`).
        """
        if not isinstance(model, EarlyExitNetwork):
            model = without_exits(model, self.data.input_shape, self.data.num_classes, sample)
        data_sets.check_fits(self.data, model)
        start = time.perf_counter()
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        network = metrics.Network(
            sample=model.sample or {},
            exit_stages=model.exit_stages,
            num_stages=len(model.stages),
            costs=ExitCosts(
                macs=model.exit_costs,
                branch_macs=model.branch_costs,
                params=model.exit_params,
                activation_bytes=model.exit_activation_bytes,
                latency_s=self._latency(model),
            ),
        )
        report = nni.get_current_parameter() is not None
        if report and "NNI_TRIAL_JOB_ID" in os.environ:
            # how NNI stops a trial; Lightning would end with an exit code, which NNI takes for a failure
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.goal.excess(network.costs) > 0:
            result = Evaluation(model, network.costs, metrics.infeasible(network, self.goal), None, None, None)
        else:
            result = self._train(model, network, report)
        result.metrics["train_seconds"] = time.perf_counter() - start
        if report:
            folder = os.environ.get("NNI_OUTPUT_DIR")
            if folder:
                record.save(result, Path(folder), self.settings)
            nni.report_final_result(result.metrics)
        return result

    def end_training(self) -> None:
        """Make the epoch that is being reported the last one; the result is what the network is worth after it.

        For whoever listens to the reports in this process and finds that going on is not worth the time.
        """
        self._end_training = True

    def latencies(self, space: EarlyExitSpace) -> Latencies | None:
        """What predicts the seconds until each exit of a sample of ``space``, if there is a latency table."""
        return latency_table.latencies(self.settings.latency_table, space)

    def _latency(self, model: EarlyExitNetwork) -> Sequence[float] | None:
        if self.settings.latency_table is None:
            return None
        if model.space is None or model.sample is None:
            raise ValueError("latency_table: it only knows the networks of its search space")
        if model.space not in self._latencies:
            from nni_earlyexit import search_spaces

            self._latencies[model.space] = self.latencies(search_spaces.restore(model.space))
        return self._latencies[model.space](model.sample)

    def _train(self, model: EarlyExitNetwork, network: metrics.Network, report: bool) -> Evaluation:
        validation = self.data.validation
        labels = validation.y.numpy()
        latest: list[Evaluation] = []
        history: list[dict[str, Any]] = []

        def measure(epochs: int) -> None:
            logits = exit_logits(model, validation.x)
            values, policy = metrics.measured(network, self.goal, logits, labels, epochs)
            latest[:] = [Evaluation(model, network.costs, values, policy, logits, labels)]
            history.append({name: value for name, value in values.items() if name != metrics.FRONT})
            if report:
                nni.report_intermediate_result(history[-1])
            trainer.should_stop = self._end_training

        self._end_training = False
        torch.manual_seed(self.settings.seed)
        trainer = self._trainer()  # a Trainer fits once
        trainer.callbacks.append(EpochEnd(measure))
        # twice as fast on a CPU, and what cuDNN prefers
        model.to(memory_format=torch.channels_last)
        self.module.set_model(model)
        if any(parameter.requires_grad for parameter in model.parameters()):
            with quiet():
                trainer.fit(self.module, self._train_batches())
            if trainer.interrupted:
                raise KeyboardInterrupt
        else:
            measure(0)  # a frozen network without early exits
        result, calibration = latest[0], self.data.calibration
        assert result.policy is not None and result.logits is not None  # noqa: PT018
        diagnostics = metrics.diagnosed(result.metrics, self.goal, network.costs, result.policy, result.logits, labels)
        return replace(
            result,
            calibration=(exit_logits(model, calibration.x), calibration.y.numpy()),
            diagnostics=diagnostics,
            history=history,
        )

    def _execute(self, model: Any) -> Any:
        """What an NNI strategy's trial runs: build the network that ``model`` stands for, then evaluate it."""
        trial_channel.be_patient()
        if nni.get_current_parameter() is model:
            model = own_parameters()
        folder = os.environ.get("NNI_OUTPUT_DIR")
        if folder is None or nni.get_current_parameter() is None:
            return self._build_and_evaluate(model)
        with files.claimed(Path(folder)):
            files.remove_parts(Path(folder))
            finished = record.finished(Path(folder), model.sample, self.settings, None)
            if finished is None:
                return self._build_and_evaluate(model)
            # NNI runs interrupted trials again when it resumes; this one had come to its end
            return nni.report_final_result(finished.metrics)

    def _build_and_evaluate(self, model: Any) -> Evaluation:
        torch.manual_seed(self.settings.seed)
        return self.evaluate(model.executable_model(), model.sample)
