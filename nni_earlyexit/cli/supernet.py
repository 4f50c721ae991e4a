"""``nni-earlyexit supernet``: the weights of every network of a space, trained at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from nni_earlyexit.cli.options import Space, takes
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.space.identity import of_words
from nni_earlyexit.training.recipe import ABOUT_SEVERAL_EXITS, Recipe
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.options import build, options
from nni_earlyexit.utils.progress import say

_FOREIGN = (*ABOUT_SEVERAL_EXITS, "bank", "views", "weights", "finetune", "patience", "train")
"""Options of a trial that mean nothing here."""


@takes({"Data": DataSettings, "Training": Recipe}, without=_FOREIGN)
def command(
    space: Space,
    output: Annotated[Path, typer.Option(metavar="FILE", help="safetensors file of the weights")],
    **given: Any,
) -> None:
    """Train the weights of every network of a space at once.

    Trials take them with --weights, and are then a matter of seconds.

    Example: nni-earlyexit supernet digits --epochs 30 --output supernet.safetensors
    """
    of_data = {o.name for o in options(DataSettings)}
    settings = build(DataSettings, {name: value for name, value in given.items() if name in of_data})
    recipe = build(Recipe, {name: value for name, value in given.items() if name not in of_data})
    check_writable(output.parent, "output")

    from nni_earlyexit.evaluation.space_for_data import space_for_data
    from nni_earlyexit.supernet.learning import make_supernet

    made = space_for_data(of_words(space), settings)
    say(made.identity())
    make_supernet(made, settings, recipe, output, say)
    say(f"{output}: python -m nni_earlyexit.trial --weights {output.resolve()}")
