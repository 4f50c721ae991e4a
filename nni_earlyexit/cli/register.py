"""``nni-earlyexit register``: tuner and assessor made known to NNI."""

from __future__ import annotations

import argparse

from nni_earlyexit.cli.options import Commands


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    return commands.add_parser("register", help="make the EarlyExit tuner and assessor known to this environment's NNI")


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.experiment.registration import register

    register()
    return 0
