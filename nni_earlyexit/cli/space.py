"""``nni-earlyexit space``: NNI's search space file of a space."""

from __future__ import annotations

import argparse
import json

from nni_earlyexit.cli.options import Commands, add_space
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils.options import add_options, build, options


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    command = commands.add_parser("space", help="print NNI's search space file of a space")
    add_space(command)
    command.add_argument("--data", help="data set that resolution and num_classes follow, such as folder:PATH")
    add_options(command, DataSettings, without=("data",))
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    name = " ".join(arguments.space)
    if arguments.data is None:
        from nni_earlyexit import search_spaces

        space = search_spaces.create(name)
    else:
        from nni_earlyexit.evaluation.space_for_data import space_for_data

        settings = build(
            DataSettings, {option.name: getattr(arguments, option.name) for option in options(DataSettings)}
        )
        space = space_for_data(name, settings)
    print(json.dumps(space.search_space(), indent=2))
    return 0
