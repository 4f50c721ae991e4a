"""``nni-earlyexit train``: one network of a space, trained from scratch and judged at each exit."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nni_earlyexit.cli.options import Commands, add_space
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say

MOST_CLASSES = 20
"""Most classes that a table is printed of."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    from nni_earlyexit.training.settings import Settings
    from nni_earlyexit.utils.options import add_options

    command = commands.add_parser("train", help="train one network of a space, and judge each of its exits")
    add_space(command)
    command.add_argument(
        "--sample", default="largest", help="largest, smallest, random, a JSON file or the folder of a trial (largest)"
    )
    command.add_argument("--output", type=Path, required=True, help="folder of the trained network")
    add_options(command, Settings)
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.training.settings import Settings
    from nni_earlyexit.utils.options import options

    settings = Settings.from_options(**{o.name: getattr(arguments, o.name) for o in options(Settings)})
    check_writable(arguments.output, "output")

    from nni_earlyexit.evaluation.one_network import choose_sample, train_one
    from nni_earlyexit.evaluation.space_for_data import space_for_data

    space = space_for_data(" ".join(arguments.space), settings.data)
    say(space.identity())
    sample = choose_sample(space, arguments.sample, settings.training.seed)
    say(space.describe(sample))
    bar = None
    if sys.stdout.isatty():
        from pytorch_lightning.callbacks import TQDMProgressBar

        bar = TQDMProgressBar
    result = train_one(space, sample, settings, arguments.output, say, bar=bar)
    say(result.table())
    if result.network.num_classes <= MOST_CLASSES:
        say(result.class_table())
    say(f"{arguments.output}: EarlyExitNetwork.load({str(arguments.output)!r})")
    return 0
