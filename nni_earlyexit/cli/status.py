"""``nni-earlyexit status``: experiments and what they have reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from nni_earlyexit.cli.options import AsCsv, AsJson
from nni_earlyexit.cli.output import print_rows, progress
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.progress import Say
from nni_earlyexit.utils.tables import aligned

if TYPE_CHECKING:
    from nni_earlyexit.experiment.overview import Overview


def command(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="[EXPERIMENT]", help="the ID of an experiment, or its folder (all)", show_default=False),
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show experiments, or one of them: its trials, the best networks so far, hypervolume and the time left.

    It reads their folders; no manager has to run.

    Example: nni-earlyexit status EXPERIMENT
    """
    from nni_earlyexit.evaluation.stored_outputs import experiment_folder
    from nni_earlyexit.experiment import overview

    say = progress(as_json, as_csv)
    if experiment is not None:
        one = overview.overview(experiment_folder(experiment))
        if as_json or as_csv:
            print_rows(one.best if as_csv else [], as_json, one.to_dict())
        else:
            _show(one, say)
        return
    every = list(overview.overviews())
    if as_json or as_csv:
        print_rows([each.to_dict() for each in every], as_json)
    elif every:
        say(aligned(overview.HEADS, [overview.cells(each) for each in every]))
    else:
        say("no experiments yet; 'nni-earlyexit init' begins one")


def _show(one: Overview, say: Say) -> None:
    from nni_earlyexit.experiment.overview import HEADS, cells, clock

    width = max(map(len, HEADS))
    for head, cell in zip(HEADS, cells(one), strict=True):
        if cell:
            say(f"{head:<{width}}  {cell}")
    statuses = ", ".join(f"{number} {status}" for status, number in sorted(one.counts.items()))
    say(f"{'NNI says':<{width}}  {statuses or 'no trial yet'}")
    say(f"{'has run':<{width}}  {clock(one.elapsed_s)}")
    say(f"{'folder':<{width}}  {one.folder}")
    if one.port is not None:
        say(f"{'web UI':<{width}}  http://127.0.0.1:{one.port}")
    if one.best:
        rows = [
            [row["trial"], f"{row['accuracy']:.4f}", format_macs(row["avg_macs"]), format_macs(row["full_macs"])]
            for row in one.best
        ]
        say("\nnetworks that no other beats so far, on the validation split:")
        say(aligned(("trial", "accuracy", "average MACs", "full MACs"), rows))
