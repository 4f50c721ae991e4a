"""Training a supernet."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch
from nni_earlyexit.data.fingerprint import fingerprint
from nni_earlyexit.data.loading import load_settings
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.splits import Data, check_fits
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.supernet.inheritance import take_weights
from nni_earlyexit.supernet.sandwich import Sandwich
from nni_earlyexit.supernet.supernet import Supernet, take_path
from nni_earlyexit.training.fit import class_counts, filled, fit
from nni_earlyexit.training.phases import learns
from nni_earlyexit.training.recipe import ABOUT_SEVERAL_EXITS, Recipe
from nni_earlyexit.utils.files import claimed, make_folder, read_json, write_json
from nni_earlyexit.utils.progress import Say
from nni_earlyexit.utils.provenance import made_with

MOST_JUDGING = 0.05
"""Share of the time that goes at most into telling how good the networks are by now."""


def accuracies(network: EarlyExitNetwork, data: Data) -> list[float]:
    """Validation accuracy of each exit."""
    logits = exit_logits(network, data.validation.parts())
    return (logits.argmax(axis=-1) == data.validation.y.numpy()[:, None]).mean(axis=0).tolist()


def make_supernet(
    space: EarlyExitSpace, settings: DataSettings, recipe: Recipe, path: Path, say: Say = lambda line: None
) -> Supernet:
    """Train a supernet of ``space`` and write it to ``path``, a safetensors file.

    After every epoch its state is kept beside it, from which the same call goes on after whatever ended it.

    Raises ``ValueError`` for options that a supernet does not have, and for a ``path`` that holds another training.
    """
    _check_fits(recipe, space)
    settings = settings.with_whole_paths().for_shape(space.input_shape)
    task = json.loads(json.dumps({"space": space.identity(), "data": asdict(settings), "training": asdict(recipe)}))
    work = path.with_name(f"{path.name}.training")
    under_way, checkpoint = work / "training.json", work / "training.ckpt"
    if path.exists():
        raise ValueError(f"output: {str(path)!r} exists; choose another name")
    if work.exists() and under_way.is_file() and read_json(under_way, "output") != task:
        raise ValueError(f"output: {str(work)!r} is of another training; choose another name")
    data = load_settings(settings, recipe.seed, say).for_network(space)
    check_fits(data, space)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    supernet = Supernet(space)
    make_folder(work)
    with claimed(work, lambda: say("waits for another process that trains the same supernet")):
        if path.exists():
            raise ValueError(f"output: {str(path)!r} exists by now; choose another name")
        write_json(under_way, task)
        train_supernet(supernet, data, recipe, say, checkpoint=checkpoint)
        about = {
            "data": fingerprint(data),
            "preprocessing": data.preprocessing.to_dict(),
            "training": task["training"],
            "made_with": made_with(),
        }
        supernet.save(path, about)
        shutil.rmtree(work, ignore_errors=True)
    return supernet


def _check_fits(recipe: Recipe, space: EarlyExitSpace) -> None:
    if not learns(space.network):
        raise ValueError(f"space: {space.identity()!r} keeps its backbone; a bank of branches is for that")
    usual = Recipe()
    for name in ABOUT_SEVERAL_EXITS:
        if getattr(recipe, name) != getattr(usual, name):
            raise ValueError(f"{name}: {getattr(recipe, name)!r} is not possible for a supernet; leave it out")


def train_supernet(
    supernet: Supernet, data: Data, recipe: Recipe, say: Say = lambda line: None, *, checkpoint: Path | None = None
) -> None:
    """Train ``supernet`` on the training split of ``data`` in place.

    Parameters
    ----------
    supernet, data, recipe
        The supernet, the data and the recipe.
    say
        Hears of each epoch, and of the validation accuracy of the largest and the smallest network as often as that takes a
        small part of the time.
    checkpoint
        File that the training goes on from if it is there, and that is written after every epoch.
    """
    recipe = filled(recipe, data)
    module = Sandwich(supernet, recipe, class_counts(data))
    take_path(supernet.network, supernet.largest)

    cost, since, unjudged = 0.0, time.monotonic(), 0

    def judge(epochs: int, weights: EarlyExitNetwork) -> None:
        nonlocal cost, since, unjudged
        start = time.monotonic()
        ends = []
        for name, sample in (("largest", supernet.largest), ("smallest", supernet.smallest)):
            network = supernet.space.freeze(sample)
            take_weights(network, weights, data)
            own = accuracies(network, data)
            ends.append(f"{name} {' '.join(f'{accuracy:.2%}' for accuracy in own)}")
        say(f"epoch {epochs} of {recipe.epochs}: validation accuracy of the exits, {', '.join(ends)}")
        since, unjudged = time.monotonic(), 0
        cost = since - start

    def hear(epochs: int, weights: EarlyExitNetwork) -> bool:
        nonlocal unjudged
        if epochs < recipe.epochs and cost > MOST_JUDGING * (time.monotonic() - since):
            say(f"epoch {epochs} of {recipe.epochs}")
            unjudged = epochs
        else:
            judge(epochs, weights)
        return True

    fit(supernet.network, data, recipe, hear, module, checkpoint=checkpoint, say=say)
    if unjudged:  # it ended before the last epoch
        judge(unjudged, supernet.network)
