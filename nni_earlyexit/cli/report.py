"""``nni-earlyexit report``: experiments as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from nni_earlyexit.cli.options import AllowSpace, number
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say

Experiments = Annotated[
    list[str],
    typer.Argument(metavar="EXPERIMENT", help="IDs of experiments, or their folders; several stand side by side"),
]
Output = Annotated[Path, typer.Option(metavar="FILE", help="the HTML file")]
Judged = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="a front.json of 'front', whose test results are shown beside the others"),
]
Live = Annotated[bool, typer.Option("--live", help="write it anew while the search runs, until it is over or Ctrl-C")]
Reproduce = Annotated[
    bool, typer.Option("--reproduce", help="print the commands that make the search again, and write no file")
]
Every = Annotated[int, number("seconds between two looks of --live", least=2)]


def command(
    experiments: Experiments,
    output: Output = Path("report.html"),
    judged: Judged = None,
    live: Live = False,
    every: Every = 30,
    reproduce: Reproduce = False,
    allow_space: AllowSpace = [],  # noqa: B006  Typer copies it
) -> None:
    """Write a report of experiments: one HTML file, which opens in a browser without a network.

    It shows the front, each of its networks with a slider over its cutoffs, the progress of the search, the choices that
    matter, all trials, what went wrong, and how to reproduce it. It reads the experiments' folders alone: NNI need not run.
    The test split is not opened.

    Example: nni-earlyexit report EXPERIMENT --output report.html
    """
    from nni_earlyexit.evaluation.stored_outputs import experiment_folder

    if reproduce and len(experiments) > 1:
        raise ValueError(f"reproduce: {len(experiments)} experiments are not possible; one is")
    if output.is_dir():
        raise ValueError(f"output: {str(output)!r} is not possible; the name of an HTML file is")
    check_writable(output.parent, "output")
    folders = [experiment_folder(name) for name in experiments]

    from nni_earlyexit import search_spaces
    from nni_earlyexit.report.html.live import follow
    from nni_earlyexit.report.html.page import write_report

    for name in allow_space:
        search_spaces.allow(name)
    if reproduce:
        from nni_earlyexit.report.html.experiment import read
        from nni_earlyexit.report.html.reproduction import script

        print(script(read(folders[0])))
        return
    if live:
        say(f"{output} is written whenever a trial has ended; Ctrl-C ends that")
        follow(folders, output, say, every_s=every, judged=judged)
    else:
        write_report(folders, output, say, judged=judged)
    say(f"wrote {output}")
