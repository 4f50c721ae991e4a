"""``nni-earlyexit export``: a network of an experiment as a bundle, ready to run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from nni_earlyexit.cli.options import (
    AllowSpace,
    Among,
    GuaranteeAmong,
    GuaranteedDrop,
    GuaranteeProbability,
    guarantee_of,
)
from nni_earlyexit.deploy.wish import EXAMPLE
from nni_earlyexit.utils.progress import say


def command(
    experiment: Annotated[
        str, typer.Argument(help="ID or folder of the experiment, or the folder of one trained network")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="folder of the bundle")],
    pick: Annotated[
        str | None,
        typer.Option(
            help=f"the network: {EXAMPLE!r} (validation data choose it), its number on the front, or the ID of its "
            "trial; by default the one that 'nni-earlyexit front' recommends"
        ),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="for onnxruntime too, which needs no torch")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="with 8-bit integers too, for onnxruntime")] = False,
    keep_exits: Annotated[bool, typer.Option("--keep-exits", help="keep exits that do not pay")] = False,
    guarantee: GuaranteedDrop = None,
    guarantee_probability: GuaranteeProbability = 0.95,
    guarantee_among: GuaranteeAmong = Among.all,
    allow_space: AllowSpace = [],  # noqa: B006  Typer copies it
) -> None:
    """Write a network of an experiment as a bundle that runs elsewhere.

    Cutoffs are fitted to the calibration split, exits that do not pay are left out, and the network is judged on the test
    split, once.

    Example: nni-earlyexit export EXPERIMENT --pick 'max accuracy, avg_macs <= 2.5M' --out bundle --onnx
    """
    from nni_earlyexit.utils.checks import check_writable

    check_writable(out, "out")

    from nni_earlyexit import search_spaces
    from nni_earlyexit.deploy.bundle import check_place
    from nni_earlyexit.deploy.export import export
    from nni_earlyexit.deploy.model_card import summary
    from nni_earlyexit.deploy.pick import picked_network

    check_place(out)
    if onnx or int8:
        check_installed()
    for name in allow_space:
        search_spaces.allow(name)
    trial, settings = picked_network(experiment, pick, say)
    say(f"trial {trial.folder.name}: {search_spaces.restore(trial.space or '').describe(trial.sample)}")
    bundle = export(
        trial,
        out,
        settings,
        guarantee=guarantee_of(guarantee, guarantee_probability, guarantee_among),
        keep_exits=keep_exits,
        onnx=onnx,
        int8=int8,
        say=say,
    )
    say(summary(bundle))


def check_installed() -> None:
    """``ValueError`` with the command that helps where what writes ONNX is not installed."""
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ValueError(f"onnx: {missing[0]} is not installed; pip install 'nni-earlyexit[onnx]' does that")
