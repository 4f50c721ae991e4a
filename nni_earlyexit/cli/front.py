"""``nni-earlyexit front``: the front of an experiment's finished trials, judged."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli.options import Commands
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    command = commands.add_parser("front", help="judge and write the front of an experiment's finished trials")
    command.add_argument("folder", type=Path, help="the experiment's folder, such as ~/nni-experiments/ID")
    command.add_argument("--results", type=Path, default=Path("results"), help="folder for front.json and front.png")
    command.add_argument(
        "--allow-space", action="append", default=[], help="module of your own that the trials' files may name"
    )
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit import search_spaces
    from nni_earlyexit.report.front_report import write_front

    folder = arguments.folder.expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: there is no folder {str(arguments.folder)!r}")
    check_writable(arguments.results, "results")
    for name in arguments.allow_space:
        search_spaces.allow(name)
    return 0 if write_front(folder, arguments.results, say) else 1
