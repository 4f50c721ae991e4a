"""Refitted cutoffs as text, JSON and picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from nni_earlyexit.evaluation.stored_outputs import Source
from nni_earlyexit.thresholds import outputs_file
from nni_earlyexit.thresholds.diagnostics import Diagnostic, diagnose
from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer
from nni_earlyexit.thresholds.policy_front import TradeOff
from nni_earlyexit.utils import files
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.tables import aligned
from numpy.typing import NDArray

POLICY, PICTURE = "policy.json", "thresholds.png"


def refit(source: Source, optimizer: ThresholdOptimizer, results: Path, say: Callable[[str], None] = print) -> None:
    """Fit ``optimizer``, say the result, and write the policy and a picture to ``results``."""
    stored = outputs_file.load(source.outputs)
    logits, labels = stored.logits["calibration"], stored.labels["calibration"]
    costs, branch_costs = stored.exit_costs, stored.branch_costs
    with warnings.catch_warnings(record=True) as warned:
        optimizer.fit(logits, labels, costs, branch_costs=branch_costs)
    diagnostics = diagnose(optimizer, logits, labels, costs, branch_costs=branch_costs)
    test = None
    if "test" in stored.logits:
        chosen = [optimizer.chosen_]
        test = optimizer.judge(stored.logits["test"], stored.labels["test"], points=chosen)[0]
    say(table(optimizer, costs))
    for name, point in (("calibration", optimizer.chosen_), ("test", test)):
        if point is not None:
            cost = f"{format_macs(point.avg_cost)} average MACs ({point.avg_cost / float(costs[-1]):.0%} of the full network)"
            say(f"{name}: accuracy {point.accuracy:.4f} at {cost}")
    for warning in warned:
        say(f"concern: {warning.message}")
    for diagnostic in diagnostics:
        say(f"{'concern' if diagnostic.concern else 'note'}: {diagnostic.message}")
    write(source, optimizer, diagnostics, test, results)
    say(f"wrote {results / (source.prefix + POLICY)} and {results / (source.prefix + PICTURE)}")


def table(optimizer: ThresholdOptimizer, costs: NDArray[np.number]) -> str:
    """Each exit alone and under the chosen policy, one line per exit."""
    chosen, policy = optimizer.chosen_, optimizer.policy_
    rows = []
    for exit, (accuracy, cost) in enumerate(
        zip(optimizer.single_exit_accuracies_, optimizer.single_exit_costs_, strict=True)
    ):
        last = exit == len(costs) - 1
        cutoff = "-" if last else f"{chosen.cutoffs[exit]:.4f}" if exit in policy.kept else "dropped"
        rows.append((str(exit), format_macs(cost), f"{accuracy:.4f}", cutoff, f"{chosen.shares[exit]:.1%}"))
    return aligned(("exit", "MACs alone", "accuracy alone", "cutoff", "share of inputs"), rows)


def write(
    source: Source, optimizer: ThresholdOptimizer, diagnostics: list[Diagnostic], test: TradeOff | None, results: Path
) -> None:
    """Write the policy as JSON, with its data and results, and the trade-off as PNG."""
    from matplotlib.figure import Figure

    results.mkdir(parents=True, exist_ok=True)
    parameters = optimizer.get_params()
    guarantee = parameters.pop("guarantee")
    content = {
        "policy": optimizer.policy_.to_dict(),
        "calibration": optimizer.chosen_.to_dict(),
        "test": None if test is None else test.to_dict(),
        "optimizer": {**parameters, "guarantee": None if guarantee is None else asdict(guarantee)},
        "certificate": None if optimizer.certificate_ is None else asdict(optimizer.certificate_),
        "confidence_macs": optimizer.policy_.confidence_macs,
        "diagnostics": [diagnostic.to_dict() for diagnostic in diagnostics],
        "outputs": str(source.outputs),
    }
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    optimizer.plot(figure.subplots())
    files.write_whole(results / (source.prefix + PICTURE), lambda path: figure.savefig(path, format="png"))
    files.write_json(results / (source.prefix + POLICY), content)
