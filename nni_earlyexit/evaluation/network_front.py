"""The Pareto front of an experiment: which networks the search found, and what they give on data it never saw.

Networks are chosen by their validation metrics. Then, once, cutoffs are fitted again on the calibration split and judged
on the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.trial_folders import trial_folders
from nni_earlyexit.search.objectives import to_losses
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.utils.errors import sentence

if TYPE_CHECKING:
    from nni_earlyexit.thresholds.diagnostics import Diagnostic


@dataclass(frozen=True)
class Member:
    """A network of the front with its refitted policy.

    Attributes
    ----------
    accuracy, avg_macs
        On the test split, under ``policy``.
    interval
        Within which the accuracy on inputs to come lies, with 95% confidence (Wilson, 1927).
    shares
        Share of test inputs that leave at each exit.
    exit_costs
        MACs to leave at each exit when all are run; a dropped exit (cutoff ``inf``) is not.
    architecture
        The network in one line.
    diagnostics
        How far ``policy`` can be trusted, by the calibration split.
    """

    record: record.Record
    policy: ExitPolicy
    accuracy: float
    interval: tuple[float, float]
    avg_macs: float
    shares: tuple[float, ...]
    exit_costs: tuple[int, ...]
    architecture: str
    diagnostics: tuple[Diagnostic, ...]

    @property
    def full_macs(self) -> int:
        """MACs of the last exit."""
        return self.exit_costs[-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "space": self.record.space,
            "sample": self.record.sample,
            "architecture": self.architecture,
            "policy": self.policy.to_dict(),
            "exit_costs": list(self.exit_costs),
            "full_macs": self.full_macs,
            "test": {
                "accuracy": self.accuracy,
                "interval": list(self.interval),
                "avg_macs": self.avg_macs,
                "shares": list(self.shares),
            },
            "validation": {name: self.record.metrics[name] for name in ("accuracy", "avg_macs")},
            "diagnostics": [diagnostic.to_dict() for diagnostic in self.diagnostics],
            "trial_folder": str(self.record.folder),
        }


def finished(experiment: Path, say: Callable[[str], None] = print) -> list[record.Record]:
    """The finished trials in the folder of an experiment, infeasible ones included. ``say`` hears of what cannot be read."""
    records = []
    for folder in trial_folders(experiment):
        try:
            found = record.load(folder)
        except record.Damaged as error:
            say(f"left out: {error}")
            continue
        if found is not None:
            records.append(found)
    return records


def non_dominated(records: Iterable[record.Record]) -> list[record.Record]:
    """The feasible trials that no other one beats in both validation accuracy and average MACs, cheapest first."""
    best: list[record.Record] = []
    feasible = [r for r in records if r.metrics["feasible"]]
    for candidate in sorted(feasible, key=lambda r: to_losses(r.metrics, {"avg_macs": "min", "accuracy": "max"})):
        if not best or candidate.metrics["accuracy"] > best[-1].metrics["accuracy"]:
            best.append(candidate)
    return best


def judged(records: Sequence[record.Record], say: Callable[[str], None] = print) -> list[Member]:
    """The front of ``records``, judged. Where one cannot be, ``say`` hears why, and the front is that of the others."""
    left = list(records)
    members: dict[Path, Member] = {}
    unusable: dict[str, list[str]] = {}
    while True:
        chosen = non_dominated(left)
        new = [found for found in chosen if found.folder not in members]
        if not new:
            break
        say(f"judging {len(new)} of {len(records)} networks on the test split")
        for found in new:
            try:
                (members[found.folder],) = judge([found])
            except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: torch's, of what does not fit
                unusable.setdefault(sentence(error), []).append(found.folder.name)
                left = [other for other in left if other is not found]
    for reason, names in unusable.items():
        some = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        say(f"left out {some}: {reason}")
    return [members[found.folder] for found in chosen]


def judge(records: Sequence[record.Record]) -> list[Member]:
    """Fit the cutoffs of each network again on the calibration split, and judge it on the test split."""
    from nni_earlyexit import data, search_spaces
    from nni_earlyexit.evaluation.metrics import fit_cutoffs
    from nni_earlyexit.nn.logits import exit_logits
    from nni_earlyexit.search.costs import ExitCosts
    from nni_earlyexit.thresholds.diagnostics import diagnose
    from scipy.stats import binomtest

    members = []
    for found in records:
        task = data.load(found.settings.data, found.settings.seed, found.settings.input_shape)
        network = found.network()
        data.check_fits(task, network)
        costs = ExitCosts(network.exit_costs, latency_s=found.exit_latency_s, branch_macs=network.branch_costs)
        calibration = exit_logits(network, task.calibration.x), task.calibration.y.numpy()
        goal = found.settings.goal
        policy = fit_cutoffs(goal, *calibration, costs).policy
        diagnostics = diagnose(
            goal.optimizer(), *calibration, costs.macs, policy=policy, branch_costs=costs.branch_macs
        )
        spent = np.array(policy.costs_without_dropped(network.exit_costs, network.branch_costs))
        logits, labels = exit_logits(network, task.test.x), task.test.y.numpy()
        exits = policy.exits(logits)
        right = policy.predict(logits) == labels
        interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
        members.append(
            Member(
                record=found,
                policy=policy,
                accuracy=float(right.mean()),
                interval=(float(interval.low), float(interval.high)),
                avg_macs=float(spent[exits].mean()),
                shares=tuple(float(share) for share in np.bincount(exits, minlength=len(spent)) / len(exits)),
                exit_costs=tuple(network.exit_costs),
                architecture=search_spaces.restore(found.space).describe(found.sample),
                diagnostics=tuple(diagnostics),
            )
        )
    return members
