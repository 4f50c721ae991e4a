"""The command ``nni-earlyexit``: finds the command that is asked for and runs it."""

from __future__ import annotations

import io
import sys

from nni_earlyexit.cli import (
    bench,
    check,
    data,
    exits,
    export,
    finetune,
    front,
    latency,
    register,
    run,
    settings,
    space,
    spaces,
    supernet,
    thresholds,
    train,
)
from nni_earlyexit.utils.errors import Parser, exits_with_one_sentence

COMMANDS = (
    spaces,
    space,
    settings,
    data,
    latency,
    check,
    train,
    exits,
    supernet,
    run,
    finetune,
    front,
    thresholds,
    export,
    bench,
    register,
)


def parser() -> Parser:
    """The command line."""
    p = Parser(prog="nni-earlyexit", description="Search early-exit networks with NNI.")
    commands = p.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        module.add(commands).set_defaults(execute=module.execute)
    return p


@exits_with_one_sentence
def main() -> None:
    """Run the command; exit codes as :mod:`nni_earlyexit.utils.errors` says."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a trial says may hold what a terminal cannot show
    arguments = parser().parse_args()
    if code := arguments.execute(arguments):
        sys.exit(code)
