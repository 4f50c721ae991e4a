"""``nni-earlyexit latency``: a table of the seconds of a space's blocks on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli.options import Commands, add_space
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    command = commands.add_parser("latency", help="measure a space's blocks on this machine, for latency as a cost")
    add_space(command)
    command.add_argument("--output", type=Path, required=True, help="the file to write, such as latency.json")
    command.add_argument("--batch-size", type=int, default=1, help="inputs at once (1)")
    command.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    command.add_argument("--dtype", default="float32", help="float32 or bfloat16 (float32)")
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit import search_spaces
    from nni_earlyexit.space.latency_table import LatencyTable

    check_writable(arguments.output.parent, "output")
    table = LatencyTable.build(
        search_spaces.create(" ".join(arguments.space)),
        batch_size=arguments.batch_size,
        threads=arguments.threads,
        dtype=arguments.dtype,
        say=say,
    )
    table.save(arguments.output)
    say(f"{arguments.output}")
    return 0
