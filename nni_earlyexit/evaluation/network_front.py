"""The Pareto front of an experiment, by the objectives of its search, judged on data that the search never saw.

Networks are chosen by their validation metrics. Then, once, cutoffs are fitted again on the calibration split and judged
on the test split.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.trial_folders import trial_folders
from nni_earlyexit.search import checkpoint
from nni_earlyexit.search.objectives import DEFAULT_OBJECTIVES, DIRECTIONS, check_objectives, to_losses
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.thresholds.policy_front import TradeOff
from nni_earlyexit.utils.errors import sentence
from nni_earlyexit.utils.non_dominance import non_dominated
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nni_earlyexit.evaluation.metrics import FittedCutoffs
    from nni_earlyexit.search.costs import ExitCosts
    from nni_earlyexit.thresholds.diagnostics import Diagnostic
    from nni_earlyexit.training.settings import Settings

Labelled: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.integer]]"
"""Logits (inputs, exits, classes) of a split and its classes (inputs,)."""


TRADE_OFF_POINTS = 5
"""Most points of the trade-off of a network that are judged beside the one that its goal picks."""


@dataclass(frozen=True)
class JudgedPoint:
    """A policy of the trade-off of a network.

    Attributes
    ----------
    policy
        The policy.
    calibration, test
        Its accuracy and average MACs on the split that it was fitted to, by which it was taken, and on the test split.
    """

    policy: ExitPolicy
    calibration: TradeOff
    test: TradeOff

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "policy": self.policy.to_dict(),
            **{
                name: {"accuracy": own.accuracy, "avg_macs": own.avg_cost, "shares": list(own.shares)}
                for name, own in (("calibration", self.calibration), ("test", self.test))
            },
        }


@dataclass(frozen=True)
class Member:
    """A network of the front with its refitted policy.

    Attributes
    ----------
    test
        Metrics on the test split under ``policy``, those that can be objectives; see :mod:`nni_earlyexit.search.metrics`.
    interval
        Bounds of the accuracy on inputs to come, with 95% confidence (Wilson, 1927).
    shares
        Share of test inputs that leave at each exit.
    exit_costs
        MACs to leave at each exit when all are run; a dropped exit (cutoff ``inf``) is not.
    architecture
        The network in one line.
    diagnostics
        Diagnostics of ``policy`` by the calibration split: how far it can be trusted.
    class_names
        Names of the classes.
    exit_accuracies
        Test accuracy of each exit alone.
    in_use
        The exits that are not dropped, up to the last one at which a calibration input leaves; no other is worth keeping.
    trade_off
        Some policies of the network within its limits, cheapest first, that of ``policy`` among them.
    guess
        Share of the test inputs in the most frequent class: the accuracy of whoever always answers it.
    """

    record: record.Record
    policy: ExitPolicy
    test: Mapping[str, float]
    interval: tuple[float, float]
    shares: tuple[float, ...]
    exit_costs: tuple[int, ...]
    architecture: str
    diagnostics: tuple[Diagnostic, ...]
    class_names: tuple[str, ...]
    exit_accuracies: tuple[float, ...]
    in_use: tuple[int, ...]
    trade_off: tuple[JudgedPoint, ...]
    guess: float = 0.0

    @property
    def guesses(self) -> bool:
        """``True`` if it may be no better than the same answer for every input."""
        return self.interval[0] <= self.guess

    @property
    def trial(self) -> str:
        """The ID of its trial."""
        return self.record.folder.name

    @property
    def is_static(self) -> bool:
        """``True`` if every calibration input leaves at the same exit: the network is a smaller one without early exits."""
        return len(self.in_use) == 1

    @property
    def accuracy(self) -> float:
        """Share of the test inputs whose class is right."""
        return self.test["accuracy"]

    @property
    def avg_macs(self) -> float:
        """Average MACs of a test input."""
        return self.test["avg_macs"]

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
            "class_names": list(self.class_names),
            "policy": self.policy.to_dict(),
            "exit_costs": list(self.exit_costs),
            "full_macs": self.full_macs,
            "test": {**self.test, "interval": list(self.interval), "shares": list(self.shares)},
            "exit_accuracies": list(self.exit_accuracies),
            "validation": {name: self.record.metrics[name] for name in self.test},
            "in_use": list(self.in_use),
            "trade_off": [point.to_dict() for point in self.trade_off],
            "guess": self.guess,
            "diagnostics": [diagnostic.to_dict() for diagnostic in self.diagnostics],
            "trial": self.trial,
            "trial_folder": str(self.record.folder),
        }


def finished(experiment: Path, say: Say = print) -> list[record.Record]:
    """The finished trials in the folder of an experiment, infeasible ones included. ``say`` hears of what cannot be read.

    A trial with a damaged file gives way to one in which the same training was done again.
    """
    records = []
    for folder in trial_folders(experiment):
        try:
            trial = record.load(folder)
        except record.Damaged as error:
            say(f"left out: {error}")
            continue
        if trial is not None:
            records.append(trial)
    again: dict[str, list[record.Record]] = {}
    for trial in records:
        again.setdefault(json.dumps([trial.space, trial.sample, trial.settings.to_dict()]), []).append(trial)
    for same in again.values():
        if len(same) > 1 and any(whole := [is_whole(trial, say) for trial in same]):
            gone = [trial for trial, own in zip(same, whole, strict=True) if not own]
            records = [trial for trial in records if all(trial is not other for other in gone)]
    return records


def objectives_of(experiment: Path) -> dict[str, str]:
    """The objectives that the search in the folder of an experiment had; the usual ones where its state does not say."""
    try:
        return check_objectives(checkpoint.read(experiment / "checkpoint" / checkpoint.FILE)["objectives"])
    except (OSError, ValueError, LookupError, TypeError):
        return dict(DEFAULT_OBJECTIVES)


def costs_first(objectives: Mapping[str, str]) -> dict[str, str]:
    """The ``objectives`` in an order in which fronts begin with the cheapest network."""
    return dict(sorted(objectives.items(), key=lambda item: item[1] == "max"))


def best_of(
    records: Iterable[record.Record], objectives: Mapping[str, str] = DEFAULT_OBJECTIVES
) -> list[record.Record]:
    """The feasible trials that no other one beats in every objective by validation metrics, cheapest first."""
    feasible = [r for r in records if r.metrics["feasible"] and objectives.keys() <= r.metrics.keys()]
    if not feasible:
        return []
    return [feasible[i] for i in non_dominated([to_losses(r.metrics, costs_first(objectives)) for r in feasible])]


def usable_best_of(
    records: Sequence[record.Record], objectives: Mapping[str, str] = DEFAULT_OBJECTIVES, say: Say = print
) -> list[record.Record]:
    """:func:`best_of` those whose networks are whole, as :func:`judged`; ``say`` hears of others, which are left out."""
    left = list(records)
    while True:
        front = best_of(left, objectives)
        damaged = [trial for trial in front if not is_usable(trial, say)]
        if not damaged:
            return front
        left = [trial for trial in left if all(trial is not other for other in damaged)]


def is_whole(trial: record.Record, say: Say = print, names: Sequence[str] = record.FILES) -> bool:
    """``True`` if the trial's files of ``names`` are what it wrote; else ``say`` hears what is not."""
    try:
        trial.check_whole(names)
    except record.Damaged as error:
        say(f"left out: {error}")
        return False
    return True


def is_usable(trial: record.Record, say: Say = print) -> bool:
    """:func:`is_whole`, of the network alone."""
    return is_whole(trial, say, record.OF_THE_NETWORK)


def judged(
    records: Sequence[record.Record],
    say: Say = print,
    objectives: Mapping[str, str] = DEFAULT_OBJECTIVES,
) -> list[Member]:
    """The front of ``records``, judged. Where one cannot be, ``say`` hears why, and the front is that of the others."""
    left = list(records)
    members: dict[Path, Member] = {}
    unusable: dict[str, list[str]] = {}
    while True:
        chosen = best_of(left, objectives)
        new = [trial for trial in chosen if trial.folder not in members]
        if not new:
            break
        say(f"judging {len(new)} of {len(records)} networks on the test split")
        for trial in new:
            try:
                (members[trial.folder],) = judge([trial])
            except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: torch's, of what does not fit
                unusable.setdefault(sentence(error), []).append(trial.folder.name)
                left = [other for other in left if other is not trial]
    for reason, names in unusable.items():
        some = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        say(f"left out {some}: {reason}")
    return [members[trial.folder] for trial in chosen]


def judge(records: Sequence[record.Record]) -> list[Member]:
    """Fit the cutoffs of each network again on the calibration split, and judge it on the test split."""
    return [_judge(trial) for trial in records]


def _judge(trial: record.Record) -> Member:
    from nni_earlyexit import data, search_spaces
    from nni_earlyexit.evaluation.metrics import fit_cutoffs
    from nni_earlyexit.nn.logits import exit_logits
    from nni_earlyexit.thresholds.diagnostics import diagnose
    from nni_earlyexit.thresholds.policy_front import mean_cost

    settings = trial.settings
    network = trial.network()
    task = data.load_settings(settings.data.for_shape(network.input_shape), settings.training.seed).for_network(network)
    data.check_fits(task, network)
    costs = trial.costs(network.exit_costs, network.branch_costs)
    calibration = exit_logits(network, task.calibration.parts()), task.calibration.y.numpy()
    if not np.array_equal(trial.labels().get("calibration", calibration[1]), calibration[1]):
        raise ValueError(
            f"data: {task.name!r} is not as it was when the network was trained; its calibration split is another one"
        )
    fitted = fit_cutoffs(settings, *calibration, costs)
    policy = fitted.policy
    diagnostics = diagnose(
        settings.goal.optimizer(settings.limits.max_avg_macs),
        *calibration,
        costs.macs,
        policy=policy,
        branch_costs=costs.branch_macs,
    )
    spent = np.array(policy.costs_without_dropped(network.exit_costs, network.branch_costs))
    logits, labels = exit_logits(network, task.test.parts()), task.test.y.numpy()
    exits = policy.exits(logits)
    right = policy.predict(logits) == labels
    shares = np.bincount(exits, minlength=len(spent)) / len(exits)
    test = {name: float(trial.metrics[name]) for name in DIRECTIONS if name in trial.metrics}  # costs of the network
    test |= {"accuracy": float(right.mean()), "avg_macs": float(spent[exits].mean())}
    if trial.exit_latency_s is not None:
        test["latency_s"] = float(mean_cost(policy.cutoffs, shares, trial.exit_latency_s, trial.branch_latency_s or 0))
    return Member(
        record=trial,
        policy=policy,
        test=test,
        interval=accuracy_interval(right),
        shares=tuple(shares.tolist()),
        exit_costs=tuple(network.exit_costs),
        architecture=search_spaces.restore(trial.space).describe(trial.sample),
        diagnostics=tuple(diagnostics),
        class_names=task.class_names,
        exit_accuracies=tuple((logits.argmax(axis=-1) == labels[:, None]).mean(axis=0).tolist()),
        in_use=policy.in_use(calibration[0]),
        trade_off=_trade_off(settings, fitted, costs, calibration, (logits, labels)),
        guess=float(np.bincount(labels).max() / len(labels)),
    )


def accuracy_interval(right: NDArray[np.bool_]) -> tuple[float, float]:
    """Bounds of the accuracy on inputs to come, with 95% confidence, from those (inputs,) that were right (Wilson, 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _trade_off(
    settings: Settings, fitted: FittedCutoffs, costs: ExitCosts, calibration: Labelled, test: Labelled
) -> tuple[JudgedPoint, ...]:
    """Some points of the trade-off, taken by calibration data, and what they are worth on test data."""
    points = [point for point in fitted.within.thinned(TRADE_OFF_POINTS) if point.cutoffs != fitted.chosen.cutoffs]
    points = sorted([*points, fitted.chosen], key=lambda point: point.avg_cost)
    optimizer = settings.goal.optimizer(None)  # any goal will do, for all of its points are wanted
    optimizer.fit_closest(*calibration, costs.macs, branch_costs=costs.branch_macs)
    judged = optimizer.judge(*test, points=points)
    return tuple(
        JudgedPoint(optimizer.policy_of(point), point, there) for point, there in zip(points, judged, strict=True)
    )


def beaten_by(members: Sequence[Member], objectives: Mapping[str, str] = DEFAULT_OBJECTIVES) -> list[int | None]:
    """Position of a member that beats each of ``members`` on the test split in every objective, if there is one.

    Of several, it is one that no other beats.
    """
    losses = np.array([to_losses(member.test, objectives) for member in members]).reshape(len(members), -1)
    beats = [(losses <= own).all(axis=1) & (losses < own).any(axis=1) for own in losses]
    unbeaten = np.array([not own.any() for own in beats], dtype=bool)
    return [int((own & unbeaten).argmax()) if own.any() else None for own in beats]
