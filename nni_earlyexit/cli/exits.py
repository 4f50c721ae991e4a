"""``nni-earlyexit exits``: exits for a trained network, searched and fitted, without training the network again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from nni_earlyexit.cli.options import AllowSpace, AsJson, number, takes
from nni_earlyexit.cli.output import progress
from nni_earlyexit.space.identity import of_words
from nni_earlyexit.training.recipe import ABOUT_SEVERAL_EXITS
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.paths import expanded

_FOREIGN = (*ABOUT_SEVERAL_EXITS, "weights", "finetune", "train", "patience")
"""Options of a trial that mean nothing here, or something else."""


@takes({"Settings": Settings}, without=_FOREIGN)
def command(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="timm's name of the model, the folder of a network trained here, or a space and its arguments such as: "
            "torchvision:resnet18 weights=FILE frozen=true max_exits=2",
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="folder of the network with exits")],
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="safetensors file with the weights of a timm model")
    ] = None,
    branches: Annotated[int, number("branches to train, in all")] = 60,
    jobs: Annotated[int | None, number("branches that are trained at once (one per core)")] = None,
    allow_space: AllowSpace = [],  # noqa: B006  Typer copies it
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Find exits for a trained network, which keeps its weights.

    Exit branches are trained on what comes out of the network's stages, each once, and kept in a bank, by default the
    folder OUTPUT-bank, with which a later run goes on. The best network of them is written to OUTPUT.

    Example: nni-earlyexit exits resnet10t --weights model.safetensors --data folder:PATH --max-drop 1% --output with-exits
    """
    say = progress(as_json, False)
    settings = Settings.from_options(**given)
    beside = output.with_name(f"{output.name}-bank")
    bank_folder = beside if settings.training.bank is None else expanded(settings.training.bank)
    check_writable(output, "output")
    check_writable(bank_folder, "bank")

    from nni_earlyexit import search_spaces
    from nni_earlyexit.evaluation.exit_search import find_exits, free_jobs, open_bank
    from nni_earlyexit.evaluation.space_for_data import space_for_data
    from nni_earlyexit.report.exits_report import exits_report

    for name in allow_space:
        search_spaces.allow(name)
    space = space_for_data(_space(model, weights), settings.data)
    say(space.identity())
    if len(space.input_shape) == 3 and not any(word.startswith("resolution=") for word in model):
        side = "x".join(map(str, space.input_shape[1:]))
        say(
            f"images are taken at {side}, the size of the data; give resolution=SIDE behind a model that learned from another"
        )
    settings = settings.with_whole_paths().for_network(space.input_shape)
    bank = open_bank(space, settings, bank_folder, say)
    outcome = find_exits(bank, settings, output, count=branches, jobs=jobs or free_jobs(), say=say)
    say(exits_report(outcome))
    say(f"{output}: EarlyExitNetwork.load({str(output)!r})")
    if as_json:
        print((output / "trial.json").read_text())


def _space(model: list[str], weights: str | None) -> str:
    """The space that ``model`` means: a folder, timm's name of a model, or a space and its arguments."""
    first = model[0]
    if len(model) == 1 and Path(first).is_dir():
        if weights is not None:
            raise ValueError(f"weights: {first!r} is a folder with weights of its own; leave them out")
        return of_words(["trained", f"folder={Path(first).resolve()}"])
    words = model if ":" in first or weights is None else [f"timm:{first}", *model[1:]]
    if weights is not None:
        words = [*words, f"weights={expanded(weights).resolve()}", "frozen=true"]
    return of_words(words)
