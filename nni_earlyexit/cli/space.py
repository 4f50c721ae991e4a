"""``nni-earlyexit space``: NNI's search space file of a space."""

from __future__ import annotations

import argparse
import json

from nni_earlyexit.cli.options import Commands, add_space


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    command = commands.add_parser("space", help="print NNI's search space file of a space")
    add_space(command)
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit import search_spaces

    print(json.dumps(search_spaces.create(" ".join(arguments.space)).search_space(), indent=2))
    return 0
