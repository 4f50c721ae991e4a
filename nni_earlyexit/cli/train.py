"""``nni-earlyexit train``: one network of a space, trained from scratch and judged at each exit; or some of an experiment."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli import again
from nni_earlyexit.cli.options import Commands, add_space
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say

MOST_CLASSES = 20
"""Most classes that a table is printed of."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    from nni_earlyexit.training.settings import Settings
    from nni_earlyexit.utils.options import add_options

    command = commands.add_parser(
        "train",
        help="train one network of a space, and judge each of its exits; with --pick, networks of an experiment",
    )
    add_space(command)
    command.add_argument("--sample", help="largest, smallest, random, a JSON file or the folder of a trial (largest)")
    command.add_argument("--output", type=Path, help="folder of the trained network")
    again.add_pick(command)
    add_options(command, Settings, suppress=True)
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.training.settings import Settings
    from nni_earlyexit.utils.options import given

    chosen = given(arguments, Settings)
    if arguments.pick is not None:
        for name in ("sample", "output"):
            if getattr(arguments, name) is not None:
                raise ValueError(
                    f"{name}: it has no place beside pick, which says what is trained, and where it stands"
                )
        return again.execute(" ".join(arguments.space), arguments, chosen, further=False)
    for name in ("results", "allow_space"):
        if getattr(arguments, name):
            raise ValueError(f"{name}: it is for networks of an experiment, which pick names; leave it out")
    if arguments.output is None:
        raise ValueError("output: it is missing; give the folder of the trained network")
    settings = Settings.from_options(**chosen)
    check_writable(arguments.output, "output")

    from nni_earlyexit.evaluation.one_network import choose_sample, train_one
    from nni_earlyexit.evaluation.space_for_data import space_for_data

    space = space_for_data(" ".join(arguments.space), settings.data)
    say(space.identity())
    sample = choose_sample(space, arguments.sample or "largest", settings.training.seed)
    say(space.describe(sample))
    result = train_one(space, sample, settings, arguments.output, say, bar=again.bar())
    say(result.table())
    if result.network.num_classes <= MOST_CLASSES:
        say(result.class_table())
    say(f"{arguments.output}: EarlyExitNetwork.load({str(arguments.output)!r})")
    return 0
