"""The front of an experiment as text, JSON and picture."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from nni_earlyexit.evaluation.experiment_front import ExperimentFront, experiment_front
from nni_earlyexit.evaluation.network_front import Member
from nni_earlyexit.evaluation.stored_outputs import short_name
from nni_earlyexit.evaluation.trial_folders import origin
from nni_earlyexit.report import front_plot
from nni_earlyexit.utils import files
from nni_earlyexit.utils.amounts import format_amount, format_macs
from nni_earlyexit.utils.progress import Say
from nni_earlyexit.utils.provenance import made_with
from nni_earlyexit.utils.tables import aligned

WIDTH = 120
"""Columns that text is wrapped to."""
MARK = "->"
"""Before the network that is recommended."""
BEATEN = "beaten on the test split by a network above:"


def text(front: ExperimentFront) -> str:
    """The front as a reader wants it: a table, the static networks beside it, each network, and what to take."""
    parts = [
        table(front),
        static_table(front),
        *(about(front, position) for position in front.in_order()),
        advice(front),
    ]
    return "\n\n".join(part for part in parts if part)


def table(front: ExperimentFront) -> str:
    """A line for each network, in the order of :meth:`ExperimentFront.in_order`.

    Objectives other than accuracy and MACs have columns too.
    """
    others = [name for name in front.objectives if name not in ("accuracy", "avg_macs", "full_macs")]
    heads = ("", "#", "trial", "test accuracy", "avg MACs", "of full", *others, "share per exit", "static", "remark")
    order = front.in_order()
    rows = []
    for position in order:
        member, static = front.members[position], front.static[position]
        rows.append(
            (
                MARK if member is front.take else "",
                str(position + 1),
                member.trial,
                _accuracy(member.accuracy, member.interval),
                format_macs(member.avg_macs),
                f"{member.avg_macs / member.full_macs:.0%} of {format_macs(member.full_macs)}",
                *(format_amount(member.test[name]) for name in others),
                " ".join(f"{share:.0%}" for share in member.shares),
                "none" if static is None else f"{format_macs(static.static.macs)} ({front.gain(position):.2g}x)",
                remark(front, position),
            )
        )
    lines = aligned(heads, rows).splitlines()
    unbeaten = sum(other is None for other in front.beaten_by)
    if unbeaten < len(order):
        lines.insert(2 + unbeaten, BEATEN)
    return "\n".join(lines)


def remark(front: ExperimentFront, position: int) -> str:
    """A few words on a network: it is recommended, beaten, static, trained again."""
    member, better = front.members[position], front.beaten_by[position]
    words = (
        "take this" if member is front.take else "",
        "" if better is None else f"beaten by {front.number(better)}",
        "no better than guessing" if member.guesses else "",
        "static" if member.is_static else "",
        origin(member.record.folder),
    )
    return ", ".join(filter(None, words))


def static_table(front: ExperimentFront) -> str:
    """The static networks that the front's networks have to beat."""
    beside: dict[int, list[int]] = {}
    for position, static in enumerate(front.static):
        if static is not None:
            beside.setdefault(id(static), []).append(position)
    judged = {id(static): static for static in front.static if static is not None}
    if not judged:
        return "static: no network of this search is as accurate when no input leaves early"
    rows = [
        (
            static.static.trial.folder.name,
            f"exit {static.static.exit}",
            _accuracy(static.accuracy, static.interval),
            format_macs(static.static.macs),
            " ".join(str(position + 1) for position in beside[key]),
        )
        for key, static in sorted(judged.items(), key=lambda item: item[1].static.macs)
    ]
    return (
        "static: no input leaves early; the cheapest of the same search that is not worse on validation and calibration data\n"
        + aligned(("trial", "cut off at", "test accuracy", "MACs", "beside #"), rows)
    )


def about(front: ExperimentFront, position: int) -> str:
    """The network, its cutoffs, and other cutoffs that it could have."""
    member = front.members[position]
    cutoffs = " ".join(f"{cutoff:.3f}" for cutoff in member.policy.cutoffs[:-1]) or "none"
    return "\n".join(
        [
            f"network {position + 1}, trial {member.trial}",
            f"  architecture: {member.architecture}",  # in one line, so that it can be copied and searched for
            f"  cutoffs: {cutoffs}",
            *(_trade_off(member) if len(member.trade_off) > 1 else []),
            *(line for sentence in (*static_advice(member), *concerns(member)) for line in _wrapped(sentence)),
        ]
    )


def _trade_off(member: Member) -> list[str]:
    """Two lines: the accuracy and the average MACs with other cutoffs, and in brackets with those that it has."""
    columns = []
    for point in member.trade_off:
        accuracy, macs = f"{point.test.accuracy:.4f}", format_macs(point.test.avg_cost)
        columns.append((f"[{accuracy}]", f"[{macs}]") if point.policy == member.policy else (accuracy, macs))
    widths = [max(map(len, column)) for column in columns]
    accuracies, costs = (
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))
        for line in zip(*columns, strict=True)
    )
    return [f"  with other cutoffs: test accuracy  {accuracies}", f"                      avg MACs       {costs}"]


def _wrapped(line: str) -> list[str]:
    return wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _accuracy(accuracy: float, interval: tuple[float, float]) -> str:
    return f"{accuracy:.4f} ({interval[0]:.3f} to {interval[1]:.3f})"


def static_advice(member: Member) -> list[str]:
    """A sentence where every input leaves at the same exit of a network with more."""
    if not member.is_static or len(member.shares) == 1:
        return []
    (exit,) = member.in_use
    behind = exit < len(member.shares) - 1
    return [
        f"every input leaves at exit {exit}: this is a small static network: export it as one"
        + (", which leaves out all that follows that exit" if behind else "")
    ]


def concerns(member: Member) -> list[str]:
    """Reasons not to trust a network or its cutoffs, a sentence for each."""
    guess = [
        f"concern: whoever always answers the most frequent class is right for {member.guess:.0%} of the test inputs, and this "
        "network may be no better; train it for longer"
    ]
    return [
        *(guess if member.guesses else []),
        *(f"concern: {diagnostic.message}" for diagnostic in member.diagnostics if diagnostic.concern),
    ]


def advice(front: ExperimentFront) -> str:
    """The network to take, the gain from leaving early, and the commands that come next."""
    take = front.take
    number, experiment = front.number(take), shlex.quote(short_name(front.experiment))
    position = number - 1
    better, static, gain = front.beaten_by[position], front.static[position], front.gain(position)
    sentences = [
        f"{MARK} Take network {number}: the best by validation data, where halving the average MACs is worth one point of "
        "accuracy."
    ]
    if take.is_static and len(take.shares) > 1:
        sentences.append(f"Every input leaves at its exit {take.in_use[0]}: export makes a small static network of it.")
    if better is not None:
        sentences.append(
            f"Network {front.number(better)} beats it on test data: that may be chance, and test data are not for choosing."
        )
    if static is None or gain is None:
        sentences.append("No network of this search is as accurate when no input leaves early.")
    else:
        sentences.append(
            f"The static network beside it takes {_times(gain)} its average MACs and has test accuracy {static.accuracy:.4f}"
            + ("." if gain > 1 else ": here, leaving early gains nothing.")
        )
    return "\n".join(
        [
            *wrap(" ".join(sentences), WIDTH, subsequent_indent="   "),
            f"   nni-earlyexit export {experiment} --pick {take.trial} --out bundle",
            f"   nni-earlyexit thresholds {experiment} --trial {take.trial} --max-avg-macs MACS   # other cutoffs",
        ]
    )


def _times(gain: float) -> str:
    words = f"{gain:.2g}"
    return "as much as" if words == "1" else f"{words} times"


def remarks(front: ExperimentFront) -> Sequence[str]:
    """The remark on each network, in the order of the members."""
    return [remark(front, position) for position in range(len(front.members))]


def write_front(folder: Path, results: Path, say: Say = print) -> bool:
    """Judge the front of the experiment in ``folder``, print it, and write ``front.json`` and ``front.png``.

    Trials that cannot be read are named and left out. ``False`` where there is no front.
    """
    front = experiment_front(folder, say)
    if front is None:
        return False
    say("\n" + text(front) + "\n")
    save(front, results, say)
    return True


def save(front: ExperimentFront, results: Path, say: Say = print) -> None:
    """Write ``front.json`` and ``front.png`` to the folder ``results``."""
    files.make_folder(results)
    content = front.to_dict()
    for member, words in zip(content["front"], remarks(front), strict=True):
        member["remark"] = words
    files.write_json(results / "front.json", {**content, "made_with": made_with()})
    front_plot.save(front, results / "front.png")
    say(f"wrote {results / 'front.json'} and {results / 'front.png'}")
