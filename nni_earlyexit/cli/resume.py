"""``nni-earlyexit resume``: an experiment that was stopped goes on, to its front."""

from __future__ import annotations

from pathlib import Path

from nni_earlyexit.cli.options import Experiment, Grace, Port, Results
from nni_earlyexit.utils.progress import say


def command(
    experiment: Experiment,
    port: Port = 8080,
    results: Results = Path("results"),
    grace: Grace = None,
) -> int:
    """Go on with an experiment that was stopped or killed, show progress and write the front.

    Nothing that was finished and is whole is trained again. Exit codes are those of 'run'.

    Example: nni-earlyexit resume EXPERIMENT
    """
    from nni_earlyexit.experiment.resuming import resume
    from nni_earlyexit.utils.progress import terminal

    return resume(experiment, port=port, results=results, grace_s=grace, say=say, console=terminal())
