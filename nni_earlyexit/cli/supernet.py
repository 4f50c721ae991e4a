"""``nni-earlyexit supernet``: the weights of every network of a space, trained at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli.options import Commands, add_space
from nni_earlyexit.training.recipe import ABOUT_SEVERAL_EXITS
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say

_FOREIGN = (*ABOUT_SEVERAL_EXITS, "bank", "views", "weights", "finetune", "patience", "train")
"""Options of a trial that mean nothing here."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    from nni_earlyexit.data.settings import DataSettings
    from nni_earlyexit.training.recipe import Recipe
    from nni_earlyexit.utils.options import add_options

    command = commands.add_parser("supernet", help="train the weights of every network of a space at once")
    add_space(command)
    command.add_argument("--output", type=Path, required=True, help="safetensors file of the weights")
    add_options(command, DataSettings)
    add_options(command, Recipe, without=_FOREIGN)
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.data.settings import DataSettings
    from nni_earlyexit.training.recipe import Recipe
    from nni_earlyexit.utils.options import build, options

    given = vars(arguments)
    settings = build(DataSettings, {o.name: given[o.name] for o in options(DataSettings)})
    recipe = build(Recipe, {o.name: given[o.name] for o in options(Recipe) if o.name not in _FOREIGN})
    check_writable(arguments.output.parent, "output")

    from nni_earlyexit.evaluation.space_for_data import space_for_data
    from nni_earlyexit.supernet.learning import make_supernet

    space = space_for_data(" ".join(arguments.space), settings)
    say(space.identity())
    make_supernet(space, settings, recipe, arguments.output, say)
    say(f"{arguments.output}: python -m nni_earlyexit.trial --weights {arguments.output.resolve()}")
    return 0
