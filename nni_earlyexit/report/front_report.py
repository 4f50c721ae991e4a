"""The front of an experiment as text, JSON and picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nni_earlyexit.evaluation.network_front import Member, finished, judged
from nni_earlyexit.evaluation.trial_folders import first_complaint
from nni_earlyexit.report import front_plot
from nni_earlyexit.utils import files
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.progress import Say
from nni_earlyexit.utils.tables import aligned


def table(members: Sequence[Member]) -> str:
    """The front as text, one line per network."""
    heads = ("test acc", "avg MACs", "full MACs", "avg/full", "share of inputs per exit", "cutoffs", "architecture")
    rows = [
        (
            f"{member.accuracy:.4f} ({member.interval[0]:.3f} to {member.interval[1]:.3f})",
            format_macs(member.avg_macs),
            format_macs(member.full_macs),
            f"{member.avg_macs / member.full_macs:.0%}",
            " ".join(f"{share:.0%}" for share in member.shares),
            " ".join(f"{cutoff:.3f}" for cutoff in member.policy.cutoffs[:-1]) or "-",
            member.architecture,
        )
        for member in members
    ]
    return aligned(heads, rows)


def concerns(members: Sequence[Member]) -> list[str]:
    """What speaks against trusting the cutoffs of each network of the front, one line for each."""
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
    members = judged(trials, say)
    if not members:
        say(f"no finished trial within the limits in {folder}{first_complaint(folder)}")
        return False
    say("\n" + table(members) + "\n")
    for concern in concerns(members):
        say(concern)
    results.mkdir(parents=True, exist_ok=True)
    files.write_json(
        results / "front.json",
        {"experiment": folder.name, "trials": len(trials), "front": [m.to_dict() for m in members]},
    )
    front_plot.save(members, trials, results / "front.png")
    say(f"wrote {results / 'front.json'} and {results / 'front.png'}")
    return True
