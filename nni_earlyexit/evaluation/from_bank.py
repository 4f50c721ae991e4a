"""A network whose branches a bank holds, measured without running it: its outputs are stacked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.evaluation import metrics, record
from nni_earlyexit.evaluation.evaluation import Evaluation, Outputs
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.training.settings import Settings


def check_same_split(space: EarlyExitSpace, settings: Settings) -> None:
    """``ValueError`` if a ``space`` whose backbone was trained here is to see data that the backbone learned from.

    That is so for the same data in other splits: by another seed or other shares.
    """
    folder = space.arguments.get("folder") if space.name == "trained" else None
    trained = None if folder is None else record.load(Path(folder))
    if trained is None:
        return
    before, now = trained.settings.with_whole_paths(), settings.with_whole_paths()
    if before.data.source != now.data.source:
        return
    if before.training.seed != now.training.seed:
        raise ValueError(
            f"seed: {now.training.seed} splits the data otherwise than {before.training.seed}, that of the backbone"
        )
    for name in ("validation_share", "calibration_share", "test_share", "most_inputs", "mean", "std", "vocabulary"):
        if getattr(before.data, name) != getattr(now.data, name):
            raise ValueError(
                f"{name}: {getattr(now.data, name)} is not that of the backbone, {getattr(before.data, name)}; its splits and "
                "preparation of the data must stay"
            )


def evaluate_in_bank(
    bank: Bank, sample: Mapping[str, Any], settings: Settings, *, latency_s: Sequence[float] | None = None
) -> Evaluation:
    """The network of the bank's space that ``sample`` means: only the branches that the bank lacks are trained.

    Nothing is trained if the network is known to miss a limit. ``latency_s``: predicted seconds until each exit (exits,), if
    they are known.
    """
    start = time.perf_counter()
    branches = bank.branches.present(sample)
    costs = bank.space.all_costs(sample)
    if settings.limits.excess(replace(costs, latency_s=latency_s)) > 0:
        network = bank.space.freeze(sample)
        facts = metrics.facts(network, latency_s)
        values = {**metrics.infeasible(facts, settings.limits), "new_branches": 0, "train_seconds": 0.0}
        return Evaluation(network, facts.costs, values, bank.data.preprocessing)
    missing = sum((stored := bank.get(branch)) is None or stored.given_up for branch in branches)
    trained = [bank.train(branch) for branch in branches]
    return evaluate_stored(
        bank,
        trained,
        settings,
        latency_s=latency_s,
        new_branches=missing,
        train_seconds=time.perf_counter() - start,
    )


def evaluate_stored(
    bank: Bank,
    branches: Sequence[StoredBranch],
    settings: Settings,
    *,
    latency_s: Sequence[float] | None = None,
    new_branches: int = 0,
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
    new_branches, train_seconds
        Branches that were trained for it, and the seconds that it took, to be reported.
    """
    network = bank.network(branches)
    facts = metrics.facts(network, latency_s)
    labels = bank.data.validation.y.numpy()
    measured = metrics.measured(facts, settings, bank.logits(branches), labels, bank.recipe.epochs)
    network.policy = measured.policy
    diagnostics = metrics.diagnosed(settings, facts.costs, measured, labels)
    own = {"new_branches": new_branches, "train_seconds": train_seconds}
    return Evaluation(
        network,
        facts.costs,
        {**measured.metrics, **metrics.diagnosis(diagnostics), **own},
        bank.data.preprocessing,
        policy=measured.policy,
        validation=Outputs(measured.logits, labels),
        calibration=Outputs(bank.logits(branches, "calibration"), bank.data.calibration.y.numpy()),
        diagnostics=diagnostics,
    )
