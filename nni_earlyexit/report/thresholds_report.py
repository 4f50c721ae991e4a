"""Refitted cutoffs as text, JSON and picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.evaluation.stored_outputs import Source
from nni_earlyexit.thresholds import outputs_file
from nni_earlyexit.thresholds.diagnostics import Diagnostic, diagnose
from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer
from nni_earlyexit.thresholds.policy_front import TradeOff, mean_cost
from nni_earlyexit.utils import files
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.provenance import made_with
from nni_earlyexit.utils.tables import aligned
from numpy.typing import NDArray

POLICY, PICTURE = "policy.json", "thresholds.png"


def policy_file(source: Source, results: Path) -> Path:
    """The file in ``results`` that the policy is written to."""
    return results / (source.prefix + POLICY)


def refit(
    source: Source, optimizer: ThresholdOptimizer, results: Path, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Fit ``optimizer``, say the result, and write the policy and a picture to ``results``.

    Returns the content of the policy's file.
    """
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
    if too_slow := _too_slow(source, optimizer.chosen_):
        say(f"concern: {too_slow}")
    certificate, guarantee = optimizer.certificate_, optimizer.guarantee
    if certificate is not None and guarantee is not None:
        say(
            f"guarantee: with probability {guarantee.confidence:.0%}, the drop is at most {guarantee.max_drop:.2%}; kept by "
            f"{certificate.certified} of {certificate.tested} policies, tested on {certificate.inputs:,} inputs"
        )
    for warning in warned:
        say(f"concern: {warning.message}")
    for diagnostic in diagnostics:
        say(f"{'concern' if diagnostic.concern else 'note'}: {diagnostic.message}")
    content = write(source, optimizer, costs, diagnostics, test, results)
    say(f"wrote {policy_file(source, results)} and {results / (source.prefix + PICTURE)}")
    return content


def _too_slow(source: Source, chosen: TradeOff) -> str:
    """A sentence where the ``chosen`` policy, whose cutoffs are fitted by MACs, is slower than the limit of the search."""
    if source.trial is None or source.trial.exit_latency_s is None:
        return ""
    limit = source.trial.settings.limits.max_latency_s
    branches = source.trial.branch_latency_s or 0
    seconds = float(mean_cost(chosen.cutoffs, chosen.shares, source.trial.exit_latency_s, branches))
    if limit is None or seconds <= limit:
        return ""
    return f"by the latency table it takes {seconds:.3g} s on average, and max_latency_s of the search is {limit:g}"


def rows(optimizer: ThresholdOptimizer, costs: NDArray[np.number]) -> list[dict[str, Any]]:
    """Each exit alone and under the chosen policy, as plain data."""
    chosen, policy = optimizer.chosen_, optimizer.policy_
    last = len(costs) - 1
    return [
        {
            "exit": exit,
            "macs_alone": float(cost),
            "accuracy_alone": float(accuracy),
            "kept": exit == last or exit in policy.kept,
            "cutoff": None if exit == last or exit not in policy.kept else float(chosen.cutoffs[exit]),
            "share": float(chosen.shares[exit]),
        }
        for exit, (accuracy, cost) in enumerate(
            zip(optimizer.single_exit_accuracies_, optimizer.single_exit_costs_, strict=True)
        )
    ]


def table(optimizer: ThresholdOptimizer, costs: NDArray[np.number]) -> str:
    """The :func:`rows` as text."""
    cells = [
        (
            str(row["exit"]),
            format_macs(row["macs_alone"]),
            f"{row['accuracy_alone']:.4f}",
            "dropped" if not row["kept"] else "-" if row["cutoff"] is None else f"{row['cutoff']:.4f}",
            f"{row['share']:.1%}",
        )
        for row in rows(optimizer, costs)
    ]
    return aligned(("exit", "MACs alone", "accuracy alone", "cutoff", "share of inputs"), cells)


def write(
    source: Source,
    optimizer: ThresholdOptimizer,
    costs: NDArray[np.number],
    diagnostics: list[Diagnostic],
    test: TradeOff | None,
    results: Path,
) -> dict[str, Any]:
    """Write the policy as JSON, with its data and results, and the trade-off as PNG; the JSON's content."""
    from matplotlib.figure import Figure

    files.make_folder(results)
    parameters = optimizer.get_params()
    guarantee = parameters.pop("guarantee")
    content = {
        "policy": optimizer.policy_.to_dict(),
        "exits": rows(optimizer, costs),
        "calibration": optimizer.chosen_.to_dict(),
        "test": None if test is None else test.to_dict(),
        "optimizer": {**parameters, "guarantee": None if guarantee is None else asdict(guarantee)},
        "certificate": None if optimizer.certificate_ is None else asdict(optimizer.certificate_),
        "confidence_macs": optimizer.policy_.confidence_macs,
        "diagnostics": [diagnostic.to_dict() for diagnostic in diagnostics],
        "outputs": str(source.outputs),
        "made_with": made_with(),
    }
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    optimizer.plot(figure.subplots())
    files.write_whole(results / (source.prefix + PICTURE), lambda path: figure.savefig(path, format="png"))
    files.write_json(policy_file(source, results), content)
    return content
