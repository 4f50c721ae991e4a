"""``nni-earlyexit check``: the check of an experiment file; it changes nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli.options import Commands


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    command = commands.add_parser("check", help="check an NNI experiment file")
    command.add_argument("config", type=Path, help="the experiment file")
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.experiment.config import check
    from nni_earlyexit.experiment.registration import is_registered

    check(arguments.config)
    if not is_registered():
        raise ValueError("tuner: NNI does not know EarlyExit as it is now; run 'nni-earlyexit register'")
    print(f"{arguments.config} can be run")
    return 0
