"""The training of one branch on the outputs of its stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import torch
from nni_earlyexit.bank import shared_prefix
from nni_earlyexit.bank.branch import Branch
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.data.splits import Data, Split
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.training.fit import fit
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.recipes import AUGMENTATION, PLAIN
from torch import nn

GoesOn: TypeAlias = Callable[[int, int, float], bool]
"""Gets the MACs of a branch, and after each pass how many are over and its validation accuracy; ``False`` gives it up."""


def learn(
    branch: Branch,
    module: nn.Module,
    outputs: Data,
    recipe: Recipe,
    *,
    prefix: nn.Sequential,
    macs: int,
    goes_on: GoesOn = lambda macs, passes, accuracy: True,
) -> StoredBranch:
    """Train ``module``, which is ``branch`` with new weights, in place.

    Parameters
    ----------
    branch, module
        The branch, and its layers.
    outputs
        The outputs of its stage after the pooling that it begins with, as data.
    recipe
        The recipe, with a value for every option; its epochs are passes over the outputs. What it does to images is done to the
        views before they come here.
    prefix
        What every branch of the stage begins with.
    macs
        MACs of the branch alone.
    goes_on
        Ends it early.
    """
    start = time.perf_counter()
    learning = shared_prefix.split(module, prefix)
    network = EarlyExitNetwork(
        nn.Identity(),
        [nn.Identity()],
        [learning],
        input_shape=outputs.input_shape,
        num_classes=outputs.num_classes,
    )
    labels = outputs.validation.y.numpy()
    accuracies: list[float] = []
    given_up = False

    def after_pass(passes: int, trained: EarlyExitNetwork) -> bool:
        nonlocal given_up
        logits = exit_logits(trained, outputs.validation.parts())[:, -1]
        accuracies.append(float((logits.argmax(axis=-1) == labels).mean()))
        given_up = passes < recipe.epochs and not goes_on(macs, passes, accuracies[-1])
        return not given_up

    # changes of images and sentences mean nothing to what comes out of a stage
    fit(network, outputs, replace(recipe, **{name: PLAIN[name] for name in AUGMENTATION}), after_pass)

    def logits(split: Split) -> torch.Tensor:
        return torch.from_numpy(exit_logits(network, split.parts())[:, -1])

    return StoredBranch(
        branch,
        macs=macs,
        params=sum(parameter.numel() for parameter in module.parameters()),
        accuracies=tuple(accuracies),
        given_up=given_up,
        seconds=time.perf_counter() - start,
        validation=logits(outputs.validation).numpy(),
        calibration=logits(outputs.calibration).numpy(),
        weights={name: tensor.cpu() for name, tensor in module.state_dict().items()},
    )
