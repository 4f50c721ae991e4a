"""``nni-earlyexit run``: an experiment from start to front."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from nni_earlyexit.cli.options import Commands, duration
from nni_earlyexit.utils.checks import check_writable
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
    command.add_argument(
        "--trial-options",
        metavar="OPTIONS",
        default="",
        help="options added to those of the file's trials, such as '--data folder:PATH' (docs/settings.md)",
    )
    command.add_argument(
        "--quick",
        action="store_true",
        help="try the file out in three minutes: four trials of two epochs on at most 1,000 inputs of each split",
    )
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.experiment.run import attach, run
    from nni_earlyexit.experiment.variation import QUICK_FIELDS, QUICK_OPTIONS, varied

    if (arguments.config is None) == (arguments.attach is None):
        raise ValueError("run: it needs an experiment file or --attach ID, and not both")
    how: dict[str, Any] = {"results": arguments.results, "grace_s": arguments.grace, "say": say}
    if arguments.attach is not None:
        return attach(arguments.attach, **how)
    config, options = arguments.config, _words(arguments.trial_options)
    if arguments.quick or options:
        results = arguments.results or config.parent / "results"
        check_writable(results, "results")
        how["results"] = results
        quick = (QUICK_OPTIONS, QUICK_FIELDS) if arguments.quick else ((), {})
        config = varied(config, results, options=[*quick[0], *options], fields=quick[1])
    return run(config, port=arguments.port, **how)


def _words(options: str) -> list[str]:
    try:
        return shlex.split(options)
    except ValueError as error:
        raise ValueError(f"trial-options: {options!r} cannot be read: {error}") from None
