"""The evaluation of one network: it is trained, its cutoffs are fitted to validation data, and it is measured.

A plain function; who hears of it, and where it is kept, is the caller's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from nni_earlyexit.data.splits import Data
from nni_earlyexit.evaluation import metrics
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.nn.preprocessing import Preprocessing
from nni_earlyexit.search.costs import ExitCosts, ExitSeconds
from nni_earlyexit.search.metrics import FRONT
from nni_earlyexit.thresholds.diagnostics import Diagnostic
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.training.fit import AfterEpoch, fit
from nni_earlyexit.training.phases import phases
from nni_earlyexit.training.plateau import Plateau
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.tables import as_html
from numpy.typing import NDArray

Train: TypeAlias = Callable[[EarlyExitNetwork, Data, Recipe, AfterEpoch], None]
"""A way to train a network; see :func:`evaluate`."""
Run: TypeAlias = Callable[[EarlyExitNetwork, Data, str], NDArray[np.float32]]
"""A way to get the outputs of a network; see :func:`evaluate`."""


@dataclass(frozen=True)
class Outputs:
    """Logits (inputs, exits, classes) of a split and its classes (inputs,)."""

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation.

    Attributes
    ----------
    network
        The network, trained.
    costs
        Its costs at each exit.
    metrics
        The metrics that are reported; see :mod:`nni_earlyexit.search.metrics`.
    preprocessing
        The way from an image or a sentence to what the network takes.
    policy
        The policy of the reported point; ``None``, as the outputs are, for a network that misses a limit and was not trained.
    validation, calibration
        Its outputs on the split that decided everything, and on the one on which nothing was decided.
    diagnostics
        Reasons not to trust the cutoffs.
    history
        The metrics after each epoch, without the front.
    """

    network: EarlyExitNetwork
    costs: ExitCosts
    metrics: dict[str, Any]
    preprocessing: Preprocessing
    policy: ExitPolicy | None = None
    validation: Outputs | None = None
    calibration: Outputs | None = None
    diagnostics: Sequence[Diagnostic] = ()
    history: Sequence[Mapping[str, Any]] = ()

    def __repr__(self) -> str:
        if self.policy is None:
            return "Evaluation of a network that misses a limit and was not trained"
        own = self.metrics
        concerns = sum(diagnostic.concern for diagnostic in self.diagnostics)
        return (
            f"Evaluation on validation data: accuracy {own['accuracy']:.4f} at {format_macs(own['avg_macs'])} average MACs, "
            f"{own['avg_macs'] / self.costs.macs[-1]:.0%} of those of the last exit, after {own['epochs']} epochs"
            + (f"; {concerns} concerns about its cutoffs, in .diagnostics" if concerns else "")
        )

    def _repr_html_(self) -> str:
        if self.policy is None or self.validation is None:
            return as_html(("MACs of the last exit",), [(format_macs(self.costs.macs[-1]),)], repr(self))
        logits, labels = self.validation.logits, self.validation.labels
        right = (logits.argmax(axis=-1) == labels[:, None]).mean(axis=0)
        left = np.bincount(self.policy.exits(logits), minlength=len(right)) / len(labels)
        rows = [
            (
                str(exit),
                str(stage),
                format_macs(cost),
                f"{accuracy:.2%}",
                f"{share:.1%}",
                f"{cutoff:.4g}" if exit < len(right) - 1 else "",
            )
            for exit, (stage, cost, accuracy, share, cutoff) in enumerate(
                zip(self.network.exit_stages, self.costs.macs, right, left, self.policy.cutoffs, strict=True)
            )
        ]
        heads = ("exit", "after stage", "MACs to leave", "accuracy alone", "inputs that leave", "cutoff")
        return as_html(heads, rows, repr(self))


def evaluate(
    network: EarlyExitNetwork,
    data: Data,
    settings: Settings,
    *,
    latency: ExitSeconds | None = None,
    after_epoch: Callable[[Mapping[str, Any]], bool] = lambda epoch_metrics: True,
    train: Train = fit,
    run: Run = lambda network, data, part: exit_logits(network, getattr(data, part).parts()),
) -> Evaluation:
    """Train ``network`` in place and measure it; not trained if it is known to miss a limit.

    Parameters
    ----------
    network, data, settings
        The network to train, the data to train it on, and the settings of training and judging.
    latency
        Its predicted seconds, if they are known.
    after_epoch
        Function that gets the metrics after each epoch, and ends the training when it returns ``False``.
    train
        Function that trains the network in place: it takes the network, the data, the recipe and a function to call after each
        epoch with the number of epochs and the network as it is then, which returns ``False`` when it is time to stop.
    run
        Function that gives the logits (inputs, exits, classes) of the network on the split of a name, ``"validation"`` or
        ``"calibration"``.
    """
    start = time.perf_counter()
    data = data.for_network(network)
    facts = metrics.facts(network, latency)
    if settings.limits.excess(facts.costs) > 0:
        values = metrics.infeasible(facts, settings.limits)
        return Evaluation(
            network, facts.costs, {**values, "train_seconds": time.perf_counter() - start}, data.preprocessing
        )

    labels = data.validation.y.numpy()
    history: list[Mapping[str, Any]] = []
    results: list[metrics.Measured] = []
    plateau = Plateau(settings.training.patience)
    begins = sum(phase.epochs for phase in phases(settings.training, network)[:-1])  # before, exits may be untrained

    def measure(epochs: int, trained: EarlyExitNetwork) -> bool:
        measured = metrics.measured(facts, settings, run(trained, data, "validation"), labels, epochs)
        results[:] = [measured]
        history.append({name: value for name, value in measured.metrics.items() if name != FRONT})
        goes_on = after_epoch(history[-1])
        return goes_on and not (epochs > begins and plateau.reached(measured.metrics["default"]))

    train(network, data, settings.training, measure)
    if not results:  # a training that goes on may have been over but for this
        measure(settings.training.epochs, network)
    (measured,) = results
    network.preprocessing, network.policy = data.preprocessing, measured.policy
    diagnostics = metrics.diagnosed(settings, facts.costs, measured, labels)
    calibration = Outputs(run(network, data, "calibration"), data.calibration.y.numpy())
    values = {
        **metrics.within_limits(measured.metrics, settings.limits),
        **metrics.diagnosis(diagnostics),
        "train_seconds": time.perf_counter() - start,
    }
    return Evaluation(
        network,
        facts.costs,
        values,
        data.preprocessing,
        policy=measured.policy,
        validation=Outputs(measured.logits, labels),
        calibration=calibration,
        diagnostics=diagnostics,
        history=history,
    )
