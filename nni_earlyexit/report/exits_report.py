"""The exits that were found for a backbone, as text."""

from __future__ import annotations

from nni_earlyexit.evaluation.exit_search import FoundExits
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.tables import aligned


def exits_report(found: FoundExits) -> str:
    """A table of the exits, and what the network is worth beside its backbone."""
    member, full = found.member, found.front.full_macs
    stages = [*found.stages, "last"]
    cutoffs = [*(f"{cutoff:.3f}" for cutoff in member.policy.cutoffs[:-1]), "-"]
    rows = [
        [f"{stage}", architecture, format_macs(cost), f"{accuracy:.2%}", f"{share:.1%}", cutoff]
        for stage, architecture, cost, accuracy, share, cutoff in zip(
            stages,
            [*found.architectures, "the backbone's own"],
            member.exit_costs,
            member.exit_accuracies,
            member.shares,
            cutoffs,
            strict=True,
        )
    ]
    heads = ["after stage", "exit", "MACs to leave", "test accuracy alone", "test inputs that leave", "cutoff"]
    promised, kept = found.promised, found.kept
    return "\n".join(
        [
            aligned(heads, rows),
            f"on test data: {member.accuracy:.2%} ({member.interval[0]:.2%} to {member.interval[1]:.2%}) at "
            f"{format_macs(member.avg_macs)} average MACs, {member.avg_macs / full:.1%} of the backbone's "
            f"{format_macs(full)}, which alone reaches {member.exit_accuracies[-1]:.2%}",
            f"chosen by validation data: {promised[0]:.2%} at {format_macs(promised[1])} there; under the same cutoffs "
            f"{kept[0]:.2%} at {format_macs(kept[1])} on calibration data, which had no part in the choice",
            *(diagnostic.message for diagnostic in member.diagnostics if diagnostic.concern),
        ]
    )
