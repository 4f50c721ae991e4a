"""The front of an experiment as one thing: its networks judged, one of them recommended, and the static networks beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_earlyexit.evaluation.held_out import HeldOut, held_out
from nni_earlyexit.evaluation.network_front import (
    Member,
    accuracy_interval,
    beaten_by,
    costs_first,
    finished,
    judged,
    objectives_of,
)
from nni_earlyexit.evaluation.record import Record
from nni_earlyexit.evaluation.static_networks import (
    StaticNetwork,
    cheapest,
    comparable,
    static_networks,
    trained_outputs,
)
from nni_earlyexit.evaluation.trial_folders import first_complaint, origin
from nni_earlyexit.search.objectives import to_losses
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.errors import sentence
from nni_earlyexit.utils.files import finite_or_none
from nni_earlyexit.utils.optional import pandas
from nni_earlyexit.utils.progress import Say
from nni_earlyexit.utils.tables import as_html

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class JudgedStatic:
    """A static network of the search, with its accuracy on the test split and the bounds of that, as a :class:`Member` has."""

    static: StaticNetwork
    accuracy: float
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            **self.static.to_dict(),
            "trial": self.static.trial.folder.name,
            "test": {"accuracy": self.accuracy, "interval": list(self.interval)},
        }


@dataclass(frozen=True)
class ExperimentFront:
    """The front of an experiment, judged on the test split.

    Attributes
    ----------
    experiment
        The experiment's folder.
    trials
        Its finished trials, infeasible ones included.
    objectives
        The objectives of its search.
    members
        The networks of the front by validation data, cheapest first; their numbers are counted from 1 in this order.
    held_out
        For each member, its accuracy and average MACs on validation and calibration data with its cutoffs as they are now;
        ``None`` where its outputs cannot be read.
    beaten_by
        For each member, one that beats it on the test split in every objective, if there is one.
    static
        For each member, the cheapest static network of the search that is at least as accurate on validation and calibration
        data, if there is one.
    """

    experiment: Path
    trials: Sequence[Record]
    objectives: Mapping[str, str]
    members: Sequence[Member]
    held_out: Sequence[HeldOut | None]
    beaten_by: Sequence[Member | None]
    static: Sequence[JudgedStatic | None]

    @property
    def take(self) -> Member:
        """The member that is recommended, by validation data alone: that of the largest :attr:`HeldOut.score`."""
        scores = [-math.inf if own is None else own.score for own in self.held_out]
        return self.members[scores.index(max(scores))]

    def number(self, member: Member) -> int:
        """The number of a member."""
        return next(number for number, own in enumerate(self.members, 1) if own is member)

    def in_order(self) -> list[int]:
        """Positions of the members as a reader wants them: first those that none beats on test, each part cheapest first."""
        objectives = costs_first(self.objectives)

        def key(position: int) -> tuple[bool, list[float]]:
            return self.beaten_by[position] is not None, to_losses(self.members[position].test, objectives)

        return sorted(range(len(self.members)), key=key)

    def gain(self, position: int) -> float | None:
        """MACs of the static network beside a member over the average MACs of the member; ``None`` where there is none."""
        static = self.static[position]
        return None if static is None else static.static.macs / self.members[position].avg_macs

    def rows(self) -> list[dict[str, Any]]:
        """The table as plain data, a row for each member, in the order of :meth:`in_order`.

        Accuracies and costs are those of the test split where they have no other name; infinite cutoffs are ``None``.
        """
        return [self._row(position) for position in self.in_order()]

    def _row(self, position: int) -> dict[str, Any]:
        member, better, static = self.members[position], self.beaten_by[position], self.static[position]
        unseen = self.held_out[position]
        return {
            "number": position + 1,
            "trial": member.trial,
            "recommended": member is self.take,
            "beaten_by": None if better is None else better.trial,
            "is_static": member.is_static,
            "accuracy": member.accuracy,
            "accuracy_low": member.interval[0],
            "accuracy_high": member.interval[1],
            "avg_macs": member.avg_macs,
            "full_macs": member.full_macs,
            **{name: member.test[name] for name in self.objectives},
            "shares": list(member.shares),
            "cutoffs": finite_or_none(member.policy.cutoffs),
            "validation_accuracy": None if unseen is None else unseen.accuracies["validation"],
            "validation_avg_macs": None if unseen is None else unseen.avg_macs["validation"],
            "static_trial": None if static is None else static.static.trial.folder.name,
            "static_exit": None if static is None else static.static.exit,
            "static_macs": None if static is None else static.static.macs,
            "static_accuracy": None if static is None else static.accuracy,
            "trained_again": origin(member.record.folder),
            "architecture": member.architecture,
            "trial_folder": str(member.record.folder),
        }

    def __repr__(self) -> str:
        take = self.take
        return (
            f"ExperimentFront of {self.experiment.name}: {len(self.members)} of {len(self.trials)} networks; take trial "
            f"{take.trial}, test accuracy {take.accuracy:.4f} at {format_macs(take.avg_macs)} average MACs"
        )

    def _repr_html_(self) -> str:
        rows = [
            (
                "take this" if row["recommended"] else "",
                row["trial"],
                f"{row['accuracy']:.4f} ({row['accuracy_low']:.3f} to {row['accuracy_high']:.3f})",
                format_macs(row["avg_macs"]),
                format_macs(row["full_macs"]),
                " ".join(f"{share:.0%}" for share in row["shares"]),
                "none" if row["static_macs"] is None else format_macs(row["static_macs"]),
                row["beaten_by"] or "",
            )
            for row in self.rows()
        ]
        heads = (
            "",
            "trial",
            "test accuracy",
            "average MACs",
            "full MACs",
            "share per exit",
            "static MACs",
            "beaten by",
        )
        return as_html(heads, rows, repr(self))

    def to_pandas(self) -> DataFrame:
        """:meth:`rows` as a data frame."""
        return pandas().DataFrame(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        front = []
        for position, member in enumerate(self.members):
            better, static, unseen = self.beaten_by[position], self.static[position], self.held_out[position]
            front.append(
                {
                    **member.to_dict(),
                    "number": position + 1,
                    "recommended": member is self.take,
                    "beaten_by": None if better is None else better.trial,
                    "is_static": member.is_static,
                    "trained_again": origin(member.record.folder),
                    "held_out": None if unseen is None else asdict(unseen),
                    "static": None if static is None else static.to_dict(),
                    "seed": member.record.settings.training.seed,
                    "made_with": dict(member.record.made_with),
                }
            )
        return {
            "experiment": self.experiment.name,
            "trials": len(self.trials),
            "objectives": dict(self.objectives),
            "recommended": self.take.trial,
            "front": front,
        }


def experiment_front(experiment: Path, say: Say = print) -> ExperimentFront | None:
    """Judge the front of the experiment in a folder; ``None`` where no finished trial is within its limits, as ``say`` hears.

    ``say`` hears also of trials that cannot be read, which are left out.
    """
    trials = finished(experiment, say)
    objectives = objectives_of(experiment)
    members = judged(trials, say, objectives)
    if not members:
        say(f"no finished trial within the limits in {experiment}{first_complaint(experiment)}")
        return None
    networks: list[StaticNetwork] = []
    unseen: dict[Path, HeldOut] = {}
    for trial, outputs in trained_outputs(trials, say):
        try:
            if any(trial is member.record for member in members):
                unseen[trial.folder] = held_out(trial, outputs)
            networks += static_networks(trial, outputs)
        except (ValueError, LookupError) as error:
            say(f"left out {trial.folder.name}: its outputs are not those of a trial: {sentence(error)}")
    return ExperimentFront(
        experiment,
        trials,
        objectives,
        members,
        [unseen.get(member.record.folder) for member in members],
        [None if other is None else members[other] for other in beaten_by(members, objectives)],
        _static_beside(members, unseen, networks, say),
    )


def _static_beside(
    members: Sequence[Member], unseen: Mapping[Path, HeldOut], networks: Sequence[StaticNetwork], say: Say
) -> list[JudgedStatic | None]:
    """For each member the static network to compare it with, judged; every one once, though several have the same."""
    judgements: dict[tuple[Path, int], JudgedStatic | None] = {}
    beside = []
    for folder in [member.record.folder for member in members]:
        labels = next((own.labels for own in networks if own.trial.folder == folder), None)
        candidates = [] if labels is None or folder not in unseen else comparable(networks, labels)
        chosen = None
        while chosen is None and candidates:
            static = cheapest(candidates, unseen[folder].accuracy, by=lambda own: own.accuracy)
            if static is None:
                break
            key = static.trial.folder, static.exit
            if key not in judgements:
                judgements[key] = _judge(static, say)
            chosen = judgements[key]
            candidates = [own for own in candidates if own.trial.folder != static.trial.folder]
        beside.append(chosen)
    return beside


def _judge(static: StaticNetwork, say: Say) -> JudgedStatic | None:
    """``static``, judged; ``None`` where it cannot be, and ``say`` hears why."""
    from nni_earlyexit import data
    from nni_earlyexit.nn.logits import exit_logits

    settings = static.trial.settings
    try:
        network = static.network()
        task = data.load_settings(settings.data.for_shape(network.input_shape), settings.training.seed)
        task = task.for_network(network)
        data.check_fits(task, network)
        logits = exit_logits(network, task.test.parts())[:, 0]
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: torch's, of what does not fit
        say(f"no static network from {static.trial.folder.name}: {sentence(error)}")
        return None
    right = logits.argmax(axis=-1) == task.test.y.numpy()
    return JudgedStatic(static, float(right.mean()), accuracy_interval(right))
