"""Networks of an experiment, trained again: further, from the weights that their trials had, or from scratch.

A supernet's weights, or few epochs, are enough to compare networks, and not the most that a network can have. The results stand
among the experiment's trials, in environments of their own, so that they are part of its front, and say what they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation.network_front import finished, objectives_of, usable_best_of
from nni_earlyexit.evaluation.one_network import Judgement, train_one
from nni_earlyexit.evaluation.record import Record
from nni_earlyexit.evaluation.trial_folders import FROM_SCRATCH, FURTHER, is_again
from nni_earlyexit.search.objectives import to_losses
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.utils.checks import unknown
from nni_earlyexit.utils.options import build
from nni_earlyexit.utils.progress import Say

EVERY, BEST = "all", "best:"
"""In place of names: the whole front, and, before a number, so many networks that together stand for it best."""


def picked(experiment: Path, names: str, say: Say = print, *, with_again: bool = False) -> list[Record]:
    """The trials in the folder of an experiment that a user names, separated by commas.

    A number is that of a network on the front of the search, cheapest first, as its table shows it before anything was trained
    again, or, ``with_again``, as it shows it now; a trial has its ID; ``all`` is the whole front, and ``best:3`` the three
    networks of it that dominate the most.
    Raises ``ValueError`` for others, and where there is no front.
    """
    trials = [
        trial
        for trial in finished(experiment, say)
        if trial.policy is not None and (with_again or not is_again(trial.folder))
    ]
    front = usable_best_of(trials, objectives_of(experiment), say)
    if not front:
        raise ValueError(f"experiment: there is no finished trial within the limits in {str(experiment)!r}")
    if names == EVERY:
        return front
    if names.startswith(BEST):
        number = names.removeprefix(BEST)
        if not number.isdecimal() or int(number) < 1:
            raise ValueError(f"pick: {names!r} is not possible; best: and a number from 1, such as best:3, is")
        return _best(front, int(number), objectives_of(experiment))
    named = {
        **{trial.folder.name: trial for trial in trials},
        **{str(number): trial for number, trial in enumerate(front, 1)},
    }
    chosen = []
    for name in names.split(","):
        if name.strip() not in named:
            raise unknown("pick", name.strip(), [EVERY, f"{BEST}3", *named])
        chosen.append(named[name.strip()])
    return list({trial.folder: trial for trial in chosen}.values())


def _best(front: Sequence[Record], number: int, objectives: Mapping[str, str]) -> list[Record]:
    """So many networks of ``front``, in its order, each of which adds the most hypervolume to those before."""
    from pymoo.indicators.hv import HV

    losses = np.array([to_losses(trial.metrics, objectives) for trial in front])
    low, high = losses.min(axis=0), losses.max(axis=0)
    losses = (losses - low) / np.where(high > low, high - low, 1.0)
    volume = HV(np.full(losses.shape[1], 1.1))
    chosen: list[int] = []
    while len(chosen) < min(number, len(front)):
        left = [place for place in range(len(front)) if place not in chosen]
        chosen.append(max(left, key=lambda place: float(volume(losses[[*chosen, place]]))))
    return [front[place] for place in sorted(chosen)]


def train_again(
    experiment: Path,
    trial: Record,
    options: Mapping[str, Any],
    *,
    further: bool,
    say: Say = print,
    bar: Callable[[], pl.Callback] | None = None,
) -> Judgement:
    """Train the network of ``trial`` again, and judge it; it goes on where it was after whatever ended it.

    Parameters
    ----------
    experiment, trial
        The folder of the experiment, and its trial; data, limits and goal are those of the trial.
    options
        Options of the :class:`Recipe` of this training.
    further
        ``True`` begins with the weights of the trial, ``False`` with new ones.
    say, bar
        As for :func:`train_one`.
    """
    if trial.space is None:
        raise ValueError(f"pick: {trial.folder.name!r} is not a network of an early-exit space")
    recipe = build(Recipe, {**options, "seed": trial.settings.training.seed})
    settings = replace(trial.settings, training=recipe)
    # a name of its own for each way to train, so that none is in the way of another
    way = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest()[:8]
    environment = experiment / "environments" / (FURTHER if further else FROM_SCRATCH)
    folder = environment / "trials" / f"{trial.folder.name}-{way}"
    space = search_spaces.restore(trial.space)
    return train_one(space, trial.sample, settings, folder, say, bar=bar, begin=trial if further else None)
