"""``nni-earlyexit run``: an experiment from start to front."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from nni_earlyexit.cli.options import Grace, Port
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import say

_PATHS = ("--data", "--root", "--weights", "--bank", "--latency-table")
"""Options of trials that are paths."""


def command(
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG", help="the experiment file")] = None,
    attach: Annotated[
        str | None, typer.Option(metavar="ID", help="go on with an experiment that runs, in place of starting one")
    ] = None,
    port: Port = 8080,
    results: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="folder for front.json and front.png (results beside the file)"),
    ] = None,
    grace: Grace = None,
    trial_options: Annotated[
        str,
        typer.Option(
            metavar="OPTIONS",
            help="options added to those of the file's trials, such as '--data folder:PATH' (docs/settings.md)",
        ),
    ] = "",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="try the file out in three minutes: four trials of two epochs on at most 1,000 inputs of each split; on all "
            "where a supernet or backbone was trained before, and with the epochs of a bank",
        ),
    ] = False,
) -> int:
    """Run an NNI experiment file, show progress and write the front.

    Example: nni-earlyexit run examples/digits/experiment.yml
    """
    from nni_earlyexit.experiment import run
    from nni_earlyexit.utils.progress import terminal

    if (config is None) == (attach is None):
        raise ValueError("run: it needs an experiment file or --attach ID, and not both")
    how: dict[str, Any] = {"results": results, "grace_s": grace, "say": say, "console": terminal()}
    if config is None:
        for name, asked_for in (("quick", quick), ("trial-options", trial_options)):
            if asked_for:
                raise ValueError(
                    f"{name}: it is for an experiment that is started, not for one that runs; leave it out"
                )
        return run.attach(attach or "", **how)
    from nni_earlyexit.experiment.variation import varied

    options, asked = _words(trial_options), str(config)
    if quick or options:
        how["results"] = results or config.parent / "results"
        check_writable(how["results"], "results")
        config = varied(config, how["results"], options=options, quick=quick)
    code = run.run(config, port=port, **how)
    if quick:
        say(f"this was to try it out: four networks of two epochs; the search: nni-earlyexit run {shlex.quote(asked)}")
    return code


def _words(options: str) -> list[str]:
    """The words of ``options``; paths are those of the folder that they were written in, as on any command line."""
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise ValueError(f"trial-options: {options!r} cannot be read: {error}") from None
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if equals and name in _PATHS:
            words[place] = f"{name}={_whole(name, value)}"
        elif place and words[place - 1] in _PATHS:
            words[place] = _whole(words[place - 1], word)
    return words


def _whole(option: str, path: str) -> str:
    from nni_earlyexit.data.settings import DataSettings

    return DataSettings(path).with_whole_paths().source if option == "--data" else str(expanded(path).resolve())
