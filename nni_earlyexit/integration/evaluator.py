"""The evaluator: the shell that lets NNI evaluate one network of a space.

It is an NNI Lightning evaluator, so that multi-trial and one-shot strategies of NNI both accept it. It evaluates with
:mod:`nni_earlyexit.evaluation.evaluation`; here is what an NNI trial needs beside: reports, files, signals and threads.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nni
import torch
from nni.nas.evaluator.pytorch import Lightning
from nni.nas.space import ExecutableModelSpace
from nni_earlyexit import data as data_sets
from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.evaluation import Evaluation, Train, evaluate
from nni_earlyexit.evaluation.from_bank import evaluate_in_bank
from nni_earlyexit.evaluation.from_supernet import read_supernet, taking_weights
from nni_earlyexit.evaluation.same_split import check_same_data, check_same_split
from nni_earlyexit.integration import trial_channel
from nni_earlyexit.integration.assignment import own_parameters
from nni_earlyexit.integration.finished_trial import once
from nni_earlyexit.integration.tensorboard_link import link_events
from nni_earlyexit.integration.threads import share_threads
from nni_earlyexit.nn.network import EarlyExitNetwork, without_exits
from nni_earlyexit.search.costs import ExitSeconds
from nni_earlyexit.search.metrics import flat
from nni_earlyexit.space import latency_table
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.space.latency_table import Latencies
from nni_earlyexit.supernet.supernet import Supernet
from nni_earlyexit.training.augmentation import Augmentation
from nni_earlyexit.training.fit import class_counts, filled, fit, trainer
from nni_earlyexit.training.joint_loss import JointLoss
from nni_earlyexit.training.monitor import Monitor
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.named_function import named_function
from nni_earlyexit.utils.options import numpydoc
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import say
from torch import nn


@nni.trace
class EarlyExitEvaluator(Lightning):
    """Train with a joint loss over the exits, fit cutoffs on validation data, report accuracy and average MACs.

    The arguments are those of :class:`Settings` by their names; ``settings`` gives all at once. A network that is known to
    miss a limit is reported as infeasible, with the amount by which it misses, without one training step.

    ``train`` is a function of your own that trains a network in place; it takes what
    :func:`nni_earlyexit.evaluation.evaluation.evaluate` says. One-shot strategies do not use it.

    {options}

    Raises
    ------
    ValueError
        At once, for arguments that cannot work.
    """

    __doc__ = (__doc__ or "").format(options=numpydoc(Settings))

    def __init__(self, settings: Settings | None = None, *, train: Train | None = None, **options: Any) -> None:
        if settings is not None and options:
            raise ValueError(f"settings: it holds every option, so {next(iter(options))} cannot be given beside it")
        # paths from /, for results are read in other folders
        self.settings = (Settings.from_options(**options) if settings is None else settings).with_whole_paths()
        self.data = data_sets.load_settings(self.settings.data, self.settings.training.seed, say)
        for note in self.data.notes:
            say(note)
        recipe = filled(self.settings.training, self.data)
        if train is None and recipe.train is not None:
            train = named_function("train", recipe.train)
        self._latencies: dict[str, Latencies | None] = {}
        self._banks: dict[str, Bank] = {}
        self._supernet: Supernet | None = None  # read once for all networks of the process
        self._goes_on = True
        if train is not None and recipe.bank is not None:
            raise ValueError(
                "train: a function of your own has no place beside a bank, whose branches learn one by one"
            )
        self._train = train
        size = recipe.batch_size or 1
        augmentation = Augmentation(recipe, len(self.data.train))
        super().__init__(
            JointLoss(recipe, class_counts(self.data)),
            trainer(recipe),
            train_dataloaders=data_sets.batches(
                self.data.train,
                size,
                shuffle=True,
                seed=recipe.seed,
                augment=None if augmentation.changes_nothing else augmentation,
                workers=data_sets.readers(self.data.train, self.data.workers),
            ),
            val_dataloaders=data_sets.batches(self.data.validation, size, shuffle=False),
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
        if model.space is not None:
            check_same_split(model.space, self.settings)
            check_same_data(model.space, self.settings, self.data)
        in_trial = nni.get_current_parameter() is not None
        share_threads(self.settings.training.threads)
        if in_trial and "NNI_TRIAL_JOB_ID" in os.environ:
            # how NNI stops a trial; Lightning would end with an exit code, which NNI takes for a failure
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        self._goes_on = True
        folder = os.environ.get("NNI_OUTPUT_DIR") if in_trial else None
        events = folder if self.settings.training.tensorboard else None
        if events:
            link_events(Path(events))
        with Monitor.writing(events) as monitor:

            def after_epoch(metrics: Mapping[str, Any]) -> bool:
                monitor.epoch(metrics)
                if in_trial:
                    nni.report_intermediate_result(flat(metrics))
                return self._goes_on

            latency = self._latency(model)
            if self.settings.training.bank is not None:
                result = evaluate_in_bank(self._bank(model), model.sample or {}, self.settings, latency=latency)
            else:
                usual = partial(fit, module=self.module, callbacks=monitor.callbacks, say=say)
                train = self._training(model, usual)
                result = evaluate(
                    model, self.data, self.settings, latency=latency, after_epoch=after_epoch, train=train
                )
        if in_trial:
            if folder:
                record.save(result, Path(folder), self.settings)
            nni.report_final_result(flat(result.metrics))
        return result

    def end_training(self) -> None:
        """Make the epoch that is being reported the last one; the result is what the network is worth after it.

        It is for whoever listens to the reports in this process and finds that going on is not worth the time.
        """
        self._goes_on = False

    def latencies(self, space: EarlyExitSpace) -> Latencies | None:
        """The seconds until each exit of a sample of ``space``, if there is a latency table."""
        return latency_table.latencies(self.settings.limits.latency_table, space)

    def _latency(self, model: EarlyExitNetwork) -> ExitSeconds | None:
        if self.settings.limits.latency_table is None:
            return None
        if model.space is None or model.sample is None:
            raise ValueError("latency_table: it only knows the networks of its search space")
        if model.space not in self._latencies:
            from nni_earlyexit import search_spaces

            self._latencies[model.space] = self.latencies(search_spaces.restore(model.space))
        latencies = self._latencies[model.space]
        return None if latencies is None else latencies.seconds(model.sample)

    def _training(self, model: EarlyExitNetwork, usual: Train) -> Train:
        """The way to train ``model``: the user's, weights of a supernet, or the ``usual`` one."""
        recipe = self.settings.training
        if recipe.weights is None:
            return self._train or usual
        if self._supernet is None:
            self._supernet = read_supernet(recipe.weights, model, self.data)
        return taking_weights(self._supernet, (self._train or usual) if recipe.finetune else None)

    def _bank(self, model: EarlyExitNetwork) -> Bank:
        """The bank of the space that ``model`` is of."""
        from nni_earlyexit import search_spaces

        if model.space is None:
            raise ValueError("bank: it only knows the networks of an early-exit space")
        if model.space not in self._banks:
            folder = expanded(str(self.settings.training.bank))
            space = search_spaces.restore(model.space)
            self._banks[model.space] = Bank(folder, space, self.data, self.settings.training, say=say)
        return self._banks[model.space]

    def _execute(self, model: Any) -> Any:
        """Build the network that ``model`` stands for, then evaluate it; NNI's hook in the trial of a strategy."""
        trial_channel.be_patient()
        if nni.get_current_parameter() is model:
            model = own_parameters()
        build: Callable[[], Evaluation] = lambda: self._build_and_evaluate(model)  # noqa: E731
        folder = os.environ.get("NNI_OUTPUT_DIR")
        if folder is None or nni.get_current_parameter() is None:
            return build()
        return once(Path(folder), model.sample, self.settings, None, build)

    def _build_and_evaluate(self, model: ExecutableModelSpace) -> Evaluation:
        torch.manual_seed(self.settings.training.seed)
        return self.evaluate(model.executable_model(), model.sample)
