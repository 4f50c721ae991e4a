"""``nni-earlyexit exits``: exits for a trained network, searched and fitted, without training the network again."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli.options import Commands
from nni_earlyexit.training.recipe import ABOUT_SEVERAL_EXITS
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say

_FOREIGN = (*ABOUT_SEVERAL_EXITS, "weights", "finetune", "train", "patience")
"""Options of a trial that mean nothing here, or something else."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    from nni_earlyexit.training.settings import Settings
    from nni_earlyexit.utils.options import add_options

    command = commands.add_parser("exits", help="find exits for a trained network, which keeps its weights")
    command.add_argument(
        "model",
        nargs="+",
        help="timm's name of the model, the folder of a network trained here, or a space and its arguments such as: "
        "torchvision:resnet18 weights=FILE frozen=true max_exits=2",
    )
    command.add_argument("--weights", help="safetensors file with the weights of a timm model")
    command.add_argument("--output", type=Path, required=True, help="folder of the network with exits")
    command.description = (
        "Exit branches are trained on what comes out of the network's stages, each once, and kept in a bank, by default the "
        "folder OUTPUT-bank, with which a later run goes on. The best network of them is written to OUTPUT."
    )
    command.add_argument(
        "--allow-space", action="append", default=[], help="module of your own that the folder of a network may name"
    )
    command.add_argument("--branches", type=int, default=60, help="branches to train, in all (60)")
    command.add_argument("--jobs", type=int, help="branches that are trained at once (one per core)")
    add_options(command, Settings, without=_FOREIGN)
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.training.settings import Settings
    from nni_earlyexit.utils.checks import whole_number
    from nni_earlyexit.utils.options import options

    for name in ("branches", "jobs"):
        if getattr(arguments, name) is not None:
            whole_number(1)(name, getattr(arguments, name))
    names = [o.name for o in options(Settings) if o.name not in _FOREIGN]
    settings = Settings.from_options(**{name: getattr(arguments, name) for name in names})
    beside = arguments.output.with_name(f"{arguments.output.name}-bank")
    bank_folder = beside if settings.training.bank is None else Path(settings.training.bank).expanduser()
    check_writable(arguments.output, "output")
    check_writable(bank_folder, "bank")

    from nni_earlyexit import search_spaces
    from nni_earlyexit.evaluation.exit_search import find_exits, free_jobs, open_bank
    from nni_earlyexit.evaluation.space_for_data import space_for_data
    from nni_earlyexit.report.exits_report import exits_report

    for name in arguments.allow_space:
        search_spaces.allow(name)
    space = space_for_data(_space(arguments.model, arguments.weights), settings.data)
    say(space.identity())
    settings = settings.with_whole_paths().for_network(space.input_shape)
    bank = open_bank(space, settings, bank_folder, say)
    outcome = find_exits(
        bank,
        settings,
        arguments.output,
        count=arguments.branches,
        jobs=arguments.jobs or free_jobs(),
        say=say,
    )
    say(exits_report(outcome))
    say(f"{arguments.output}: EarlyExitNetwork.load({str(arguments.output)!r})")
    return 0


def _space(model: list[str], weights: str | None) -> str:
    """The space that ``model`` means: a folder, timm's name of a model, or a space and its arguments."""
    import shlex

    first = model[0]
    if len(model) == 1 and Path(first).is_dir():
        if weights is not None:
            raise ValueError(f"weights: {first!r} is a folder with weights of its own; leave them out")
        return shlex.join(["trained", f"folder={Path(first).resolve()}"])
    words = model if ":" in first or weights is None else [f"timm:{first}", *model[1:]]
    if weights is not None:
        words = [*words, f"weights={Path(weights).expanduser().resolve()}", "frozen=true"]
    return shlex.join(words)
