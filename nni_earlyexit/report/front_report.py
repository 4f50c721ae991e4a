"""The front of an experiment as text, JSON and picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nni_earlyexit.evaluation.network_front import Member, beaten_by, finished, judged, objectives_of
from nni_earlyexit.evaluation.trial_folders import first_complaint, origin
from nni_earlyexit.report import front_plot
from nni_earlyexit.search.objectives import DEFAULT_OBJECTIVES
from nni_earlyexit.utils import files
from nni_earlyexit.utils.amounts import format_amount, format_macs
from nni_earlyexit.utils.progress import Say
from nni_earlyexit.utils.tables import aligned


def table(members: Sequence[Member], objectives: Mapping[str, str] = DEFAULT_OBJECTIVES) -> str:
    """The front as text, one line per network; ``objectives`` other than accuracy and average MACs have columns too."""
    others = [name for name in objectives if name not in ("accuracy", "avg_macs", "full_macs")]
    heads = ("", "test acc", "avg MACs", "full MACs", "avg/full", *others)
    rows = [
        (
            str(number),
            f"{member.accuracy:.4f} ({member.interval[0]:.3f} to {member.interval[1]:.3f})",
            format_macs(member.avg_macs),
            format_macs(member.full_macs),
            f"{member.avg_macs / member.full_macs:.0%}",
            *(format_amount(member.test[name]) for name in others),
            " ".join(f"{share:.0%}" for share in member.shares),
            " ".join(f"{cutoff:.3f}" for cutoff in member.policy.cutoffs[:-1]) or "-",
            remark,
            member.architecture,
        )
        for number, (member, remark) in enumerate(zip(members, remarks(members, objectives), strict=True), 1)
    ]
    return aligned((*heads, "share of inputs per exit", "cutoffs", "remark", "architecture"), rows)


def remarks(members: Sequence[Member], objectives: Mapping[str, str] = DEFAULT_OBJECTIVES) -> list[str]:
    """Remarks on each network: what beats it on test, an exit that takes all, a training again."""
    return [
        ", ".join(
            [
                *([f"beaten by {other + 1}"] if other is not None else []),
                *(["all leave at exit 0"] if len(member.shares) > 1 and member.shares[0] == 1 else []),
                *filter(None, [origin(member.record.folder)]),
            ]
        )
        for member, other in zip(members, beaten_by(members, objectives), strict=True)
    ]


def concerns(members: Sequence[Member]) -> list[str]:
    """Reasons not to trust the cutoffs of each network of the front, one line for each."""
    return [
        f"network {number}: {diagnostic.message}"
        for number, member in enumerate(members, 1)
        for diagnostic in member.diagnostics
        if diagnostic.concern
    ]


def write_front(folder: Path, results: Path, say: Say = print) -> bool:
    """Judge the front of the experiment in ``folder``, print it, and write ``front.json`` and ``front.png``.

    Trials that cannot be read are named and left out.
    """
    trials = finished(folder, say)
    objectives = objectives_of(folder)
    members = judged(trials, say, objectives)
    if not members:
        say(f"no finished trial within the limits in {folder}{first_complaint(folder)}")
        return False
    say("\n" + table(members, objectives) + "\n")
    for concern in concerns(members):
        say(concern)
    results.mkdir(parents=True, exist_ok=True)
    files.write_json(
        results / "front.json",
        {
            "experiment": folder.name,
            "trials": len(trials),
            "objectives": objectives,
            "front": [
                {**member.to_dict(), "remark": remark}
                for member, remark in zip(members, remarks(members, objectives), strict=True)
            ],
        },
    )
    front_plot.save(members, trials, results / "front.png", objectives)
    say(f"wrote {results / 'front.json'} and {results / 'front.png'}")
    return True
