"""``nni-earlyexit run``: an experiment from start to front."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli.options import Commands, duration
from nni_earlyexit.utils.progress import say


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    command = commands.add_parser("run", help="run an NNI experiment file, show progress and write the front")
    command.add_argument("config", type=Path, nargs="?", help="the experiment file")
    command.add_argument("--attach", metavar="ID", help="go on with an experiment that runs, in place of starting one")
    command.add_argument("--port", type=int, default=8080, help="port of NNI's web UI, on this machine only (8080)")
    command.add_argument("--results", type=Path, help="folder for front.json and front.png (results beside the file)")
    command.add_argument(
        "--grace",
        type=duration,
        help="time that trials may go on after maxExperimentDuration, such as 5m (a tenth of it, at least a minute)",
    )
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.experiment.run import attach, run

    if (arguments.config is None) == (arguments.attach is None):
        raise ValueError("run: it needs an experiment file or --attach ID, and not both")
    how = {"results": arguments.results, "grace_s": arguments.grace, "say": say}
    if arguments.attach is not None:
        return attach(arguments.attach, **how)
    return run(arguments.config, port=arguments.port, **how)
