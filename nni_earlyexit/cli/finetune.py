"""``nni-earlyexit finetune``: networks of an experiment, trained further from the weights that their trials had."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from nni_earlyexit.cli import again
from nni_earlyexit.cli.options import AllowSpace, Experiment, Results, takes
from nni_earlyexit.training.recipe import Recipe


@takes({"Training": Recipe}, without=again.OF_THE_TRIAL)
def command(
    experiment: Experiment,
    pick: Annotated[str, typer.Option(help=again.PICK)] = "all",
    results: Results = Path("results"),
    allow_space: AllowSpace = [],  # noqa: B006  Typer copies it
    **given: Any,
) -> int:
    """Train networks of an experiment further, and write its front anew.

    They begin with the weights that their trials had. Data, limits and goal are those of their trials; other options that
    are not given have their usual values.

    Example: nni-earlyexit finetune EXPERIMENT --pick best:3 --epochs 30
    """
    return again.train(experiment, pick, results, allow_space, given, further=True)
