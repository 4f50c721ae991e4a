"""``nni-earlyexit resume``: an experiment that was stopped goes on, to its front."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from nni_earlyexit.cli.options import Experiment, Results, duration, number
from nni_earlyexit.utils.progress import say


def command(
    experiment: Experiment,
    port: Annotated[int, number("port of NNI's web UI, on this machine only", most=65535)] = 8080,
    results: Results = Path("results"),
    grace: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=duration,
            help="time that trials may go on after maxExperimentDuration, such as 5m (a tenth of it, at least a minute)",
        ),
    ] = None,
) -> int:
    """Go on with an experiment that was stopped or killed, show progress and write the front.

    Nothing that was finished is trained again. Exit codes are those of 'run'.

    Example: nni-earlyexit resume EXPERIMENT
    """
    from nni_earlyexit.experiment.resuming import resume
    from nni_earlyexit.utils.progress import terminal

    return resume(experiment, port=port, results=results, grace_s=grace, say=say, console=terminal())
