"""A network whose branches a bank holds, measured without running it: its outputs are stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.evaluation import metrics
from nni_earlyexit.evaluation.evaluation import Evaluation, Outputs
from nni_earlyexit.training.settings import Settings


def evaluate_stored(
    bank: Bank,
    branches: Sequence[StoredBranch],
    settings: Settings,
    *,
    latency_s: Sequence[float] | None = None,
    train_seconds: float = 0.0,
) -> Evaluation:
    """The network of ``branches``, and its metrics by the goal and the limits of ``settings``.

    Parameters
    ----------
    bank, branches
        The bank, and trained branches of it, first exit first.
    settings
        The settings of judging.
    latency_s
        Predicted seconds until each exit (exits,), if they are known.
    train_seconds
        Seconds that training took for it, to be reported.
    """
    network = bank.network(branches)
    facts = metrics.facts(network, latency_s)
    if settings.limits.excess(facts.costs) > 0:
        values: dict[str, Any] = {**metrics.infeasible(facts, settings.limits), "train_seconds": train_seconds}
        return Evaluation(network, facts.costs, values, bank.data.preprocessing)
    labels = bank.data.validation.y.numpy()
    measured = metrics.measured(facts, settings, bank.logits(branches), labels, bank.recipe.epochs)
    network.policy = measured.policy
    diagnostics = metrics.diagnosed(settings, facts.costs, measured, labels)
    return Evaluation(
        network,
        facts.costs,
        {**measured.metrics, **metrics.diagnosis(diagnostics), "train_seconds": train_seconds},
        bank.data.preprocessing,
        policy=measured.policy,
        validation=Outputs(measured.logits, labels),
        calibration=Outputs(bank.logits(branches, "calibration"), bank.data.calibration.y.numpy()),
        diagnostics=diagnostics,
    )
