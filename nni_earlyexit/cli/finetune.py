"""``nni-earlyexit finetune``: networks of an experiment, trained further from the weights that their trials had."""

from __future__ import annotations

import argparse

from nni_earlyexit.cli import again
from nni_earlyexit.cli.options import Commands


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    from nni_earlyexit.training.recipe import Recipe
    from nni_earlyexit.utils.options import add_options

    command = commands.add_parser("finetune", help="train networks of an experiment further, and write its front anew")
    command.add_argument("experiment", help="ID or folder of the experiment")
    again.add_pick(command, default="all")
    add_options(command, Recipe, suppress=True, without=again.OF_THE_TRIAL)
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.training.recipe import Recipe
    from nni_earlyexit.utils.options import given

    return again.execute(arguments.experiment, arguments, given(arguments, Recipe), further=True)
