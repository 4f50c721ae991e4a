"""``nni-earlyexit spaces``: the search spaces with their size and costs."""

from __future__ import annotations

import argparse

from nni_earlyexit.cli.options import Commands
from nni_earlyexit.utils.progress import say


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    return commands.add_parser("spaces", help="list the search spaces with their size and costs")


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.report.space_table import rows

    for line in rows():
        say(line)
    return 0
