"""Training networks of an experiment again, as the commands ``finetune`` and ``train`` do it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say

OF_THE_TRIAL = ("seed", "weights", "finetune", "bank", "views")
"""Options of a recipe that are not for a training again: data are split by the seed, and weights come from the trial."""
PICK = "networks of the experiment: numbers on the front of the search, IDs of trials, best:3, or all"


def bar() -> Callable[[], Any] | None:
    """The class of a progress bar, where somebody sees it."""
    if not sys.stdout.isatty():
        return None
    from pytorch_lightning.callbacks import TQDMProgressBar

    made: Callable[[], Any] = TQDMProgressBar
    return made


def train(
    experiment: str, pick: str, results: Path, allowed: Sequence[str], given: Mapping[str, Any], *, further: bool
) -> int:
    """Train the picked networks with the ``given`` options, and write the front with them; the exit code."""
    from nni_earlyexit.evaluation.stored_outputs import experiment_folder

    check_writable(results, "results")
    folder = experiment_folder(experiment)

    from nni_earlyexit import search_spaces
    from nni_earlyexit.evaluation.again import picked, train_again
    from nni_earlyexit.report.front_report import write_front
    from nni_earlyexit.training.recipe import Recipe
    from nni_earlyexit.utils.options import build, options

    possible = {option.name for option in options(Recipe)} - set(OF_THE_TRIAL)
    for name in given:
        if name not in possible:
            raise ValueError(
                f"{name}: it is that of the trial where networks of an experiment are trained again; leave it out"
            )
    build(Recipe, given)  # what cannot work ends before anything begins
    for name in allowed:
        search_spaces.allow(name)
    trials = picked(folder, pick, say)
    diverged = 0
    for number, trial in enumerate(trials, 1):
        say(
            f"network {number} of {len(trials)}: trial {trial.folder.name}, {trial.metrics['avg_macs']:,.0f} average MACs"
        )
        try:
            say(train_again(folder, trial, given, further=further, say=say, bar=bar()).table())
        except FloatingPointError as error:  # what the others give is not lost for it
            say(f"trial {trial.folder.name} is left out: {error}")
            diverged += 1
    return 0 if write_front(folder, results, say) and not diverged else 1
