"""``nni-earlyexit thresholds``: cutoffs fitted to stored outputs, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from nni_earlyexit.cli.options import (
    Among,
    AsCsv,
    AsJson,
    GuaranteeAmong,
    GuaranteedDrop,
    GuaranteeProbability,
    amount,
    guarantee_of,
    number,
    takes,
)
from nni_earlyexit.cli.output import print_rows, progress
from nni_earlyexit.thresholds.operating_point import PointGoal
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.options import options

_GOAL = "Goal (without any: that of the trial, or the cheapest within 0.005 of the best)"


@takes({_GOAL: PointGoal})
def command(
    source: Annotated[str, typer.Argument(help="a file OUTPUTS.npz, or an experiment's ID or folder")],
    trial: Annotated[str | None, typer.Option(metavar="ID", help="the trial of the experiment")] = None,
    max_avg_macs: Annotated[
        float | None,
        typer.Option(
            metavar="MACS",
            parser=amount,
            help="limit on average MACs, such as 5M; alone: best accuracy within",
            rich_help_panel=_GOAL,
        ),
    ] = None,
    confidence: Annotated[
        str | None,
        typer.Option(
            metavar="MEASURE", help="max_prob (default), entropy, margin, energy, patience, learned, or your own"
        ),
    ] = None,
    temperature_scaling: Annotated[
        bool, typer.Option("--temperature-scaling", help="calibrate each exit's probabilities first")
    ] = False,
    guarantee: GuaranteedDrop = None,
    guarantee_probability: GuaranteeProbability = 0.95,
    guarantee_among: GuaranteeAmong = Among.all,
    seed: Annotated[int, number("of the splits of learned confidence and guarantee", least=0)] = 0,
    results: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="folder for policy.json and thresholds.png (beside the outputs)"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a policy.json that is there")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    **goal: Any,
) -> None:
    """Fit cutoffs to stored outputs, without training.

    Prints each exit with its cutoff and share of inputs, and writes policy.json and thresholds.png.

    Example: nni-earlyexit thresholds EXPERIMENT --trial ID --max-drop 1%
    """
    from nni_earlyexit.evaluation import stored_outputs
    from nni_earlyexit.report import thresholds_report
    from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer

    read = stored_outputs.source(source, trial)
    folder = results or read.folder
    check_writable(folder, "results")
    say = progress(as_json, as_csv)
    asked = {name: value for name, value in goal.items() if value is not False}
    if max_avg_macs is not None:
        asked["max_cost"] = max_avg_macs
    chosen = dict(read.arguments)
    if asked or guarantee is not None:
        own = {"max_cost", *(o.name for o in options(PointGoal))}
        chosen = {**{name: value for name, value in chosen.items() if name not in own}, **asked}
    if confidence is not None:
        chosen["confidence"] = confidence
    if guarantee is not None:  # of tuned cutoffs and exits that may be dropped, whatever the trial's were
        chosen = {name: value for name, value in chosen.items() if name not in ("cutoffs", "drop_exits")}
    optimizer = ThresholdOptimizer(
        **chosen,
        temperature_scaling=temperature_scaling,
        guarantee=guarantee_of(guarantee, guarantee_probability, guarantee_among),
        random_state=seed,
    )
    there = thresholds_report.policy_file(read, folder)
    if there.exists() and not overwrite:
        raise ValueError(f"results: {str(there)!r} is there already; give another folder, or --overwrite to replace it")
    try:
        content = thresholds_report.refit(read, optimizer, folder, say)
    except ValueError as error:
        raise ValueError(str(error).replace("max_cost", "max_avg_macs")) from None
    if as_json or as_csv:
        print_rows(content["exits"], as_json, content)
