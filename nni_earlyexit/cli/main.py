"""The command ``nni-earlyexit``: finds the command that is asked for and runs it."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import nni_earlyexit
import typer
from nni_earlyexit.cli.lazy import HELP, Entry, Group, run
from nni_earlyexit.utils import garbage
from nni_earlyexit.utils.errors import exits_with_one_sentence

BEGIN, SEARCH, RESULTS, WITHOUT_NNI, HELPERS = (
    "Begin",
    "Search",
    "Look at results and use them",
    "Without a search",
    "Helpers",
)
COMMANDS = (
    Entry("init", "write the files of a new experiment, for a data set, a space and a budget", BEGIN),
    Entry("spaces", "list the search spaces with their size, costs and arguments", BEGIN),
    Entry(
        "strategies",
        "list the search strategies with their arguments, which are strategy_arguments in an experiment file",
        BEGIN,
    ),
    Entry("data", "look through a data set, or clear the cache of decoded images", BEGIN),
    Entry("space", "print NNI's search space file of a space", BEGIN),
    Entry("latency", "measure a space's blocks on this machine, for latency as a cost", BEGIN),
    Entry("check", "check an NNI experiment file", SEARCH),
    Entry("run", "run an NNI experiment file, show progress and write the front", SEARCH),
    Entry(
        "status",
        "show experiments, or one of them: its trials, the best networks so far, hypervolume and the time left",
        SEARCH,
    ),
    Entry("resume", "go on with an experiment that was stopped or killed, show progress and write the front", SEARCH),
    Entry("fetch", "copy the networks of an experiment from the machines that its trials ran on", SEARCH),
    Entry("front", "judge and write the front of an experiment's finished trials", RESULTS),
    Entry(
        "report", "write a report of experiments: one HTML file, which opens in a browser without a network", RESULTS
    ),
    Entry("view", "show an experiment that is over in NNI's web UI, on this machine only", RESULTS),
    Entry("thresholds", "fit cutoffs to stored outputs, without training", RESULTS),
    Entry("finetune", "train networks of an experiment further, and write its front anew", RESULTS),
    Entry("export", "write a network of an experiment as a bundle that runs elsewhere", RESULTS),
    Entry("bench", "measure how fast a bundle is here, beside the same network without exits", RESULTS),
    Entry("train", "train one network of a space, and judge each of its exits", WITHOUT_NNI),
    Entry("exits", "find exits for a trained network, which keeps its weights", WITHOUT_NNI),
    Entry("supernet", "train the weights of every network of a space at once", WITHOUT_NNI),
    Entry("settings", "print every option of trial, tuner and assessor as Markdown tables", HELPERS),
    Entry("doctor", "look at the environment: what an experiment needs, and how to mend what is wrong", HELPERS),
    Entry("register", "make the EarlyExit tuner and assessor known to this environment's NNI", HELPERS),
)
CODES = (
    "Exit codes: 0 all went well; 1 it could not be done here and now (a full disk, no finished trial); "
    "2 what was asked for cannot work, and one sentence says why; 130 ended by Ctrl-C."
)


class Commands(Group):
    """The commands of this program."""

    entries = COMMANDS


app = typer.Typer(
    cls=Commands, context_settings=HELP, pretty_exceptions_enable=False, rich_markup_mode="markdown", epilog=CODES
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"nni-earlyexit {nni_earlyexit.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="print the version")
    ] = False,
) -> None:
    """Search early-exit networks with NNI: backbone, exits and cutoffs together, under a MACs budget."""


@exits_with_one_sentence
def main() -> None:
    """Run the command; exit codes as :mod:`nni_earlyexit.utils.errors` says."""
    garbage.search_less_often()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a trial says may hold what a terminal cannot show
    if code := run(app):
        sys.exit(code)
