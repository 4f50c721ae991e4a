"""``nni-earlyexit export``: a network of an experiment as a bundle, ready to run elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli.options import Commands, add_guarantee, guarantee_of
from nni_earlyexit.deploy.wish import BEST, EXAMPLE
from nni_earlyexit.utils.progress import say


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    command = commands.add_parser("export", help="write a network of an experiment as a bundle that runs elsewhere")
    command.add_argument("experiment", help="ID or folder of the experiment, or the folder of one trained network")
    command.add_argument(
        "--pick",
        help=f"the network: {EXAMPLE!r} (validation data choose it), its number on the front, or the ID of its trial; by "
        f"default {BEST}, the one that dominates most",
    )
    command.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    command.add_argument("--onnx", action="store_true", help="for onnxruntime too, which needs no torch")
    command.add_argument("--int8", action="store_true", help="with 8-bit integers too, for onnxruntime")
    command.add_argument("--keep-exits", action="store_true", help="keep exits that do not pay")
    add_guarantee(command.add_argument_group("guarantee (half of the calibration split is its test)"))
    command.add_argument(
        "--allow-space", action="append", default=[], help="module of your own that the trials' files may name"
    )
    command.description = (
        "Cutoffs are fitted to the calibration split, exits that do not pay are left out, and the network is judged on the "
        f"test split, once. Example: nni-earlyexit export EXPERIMENT --pick {EXAMPLE!r} --out bundle --onnx"
    )
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.utils.checks import check_writable

    check_writable(arguments.out, "out")

    from nni_earlyexit import search_spaces
    from nni_earlyexit.deploy.bundle import check_place
    from nni_earlyexit.deploy.export import export
    from nni_earlyexit.deploy.model_card import summary
    from nni_earlyexit.deploy.pick import picked_network

    check_place(arguments.out)
    if arguments.onnx or arguments.int8:
        check_installed()
    for name in arguments.allow_space:
        search_spaces.allow(name)
    trial, settings = picked_network(arguments.experiment, arguments.pick, say)
    say(f"trial {trial.folder.name}: {search_spaces.restore(trial.space or '').describe(trial.sample)}")
    bundle = export(
        trial,
        arguments.out,
        settings,
        guarantee=guarantee_of(arguments),
        keep_exits=arguments.keep_exits,
        onnx=arguments.onnx,
        int8=arguments.int8,
        say=say,
    )
    say(summary(bundle))
    return 0


def check_installed() -> None:
    """``ValueError`` with the command that helps where what writes ONNX is not installed."""
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ValueError(f"onnx: {missing[0]} is not installed; pip install 'nni-earlyexit[onnx]' does that")
