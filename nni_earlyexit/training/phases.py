"""Regimes of training: the backbone and its exits at once, or one after the other.

=========  =============================================================================================
joint      all exits from the start
mixed      the backbone alone for half of the epochs, then all; it beat both others in Kubaty et al., 2024
           (arXiv 2407.14320)
frozen     the backbone alone for half of the epochs, then the exits on what it gives, which costs little
=========  =============================================================================================
"""

from __future__ import annotations

from typing import NamedTuple

from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.training.recipe import Recipe


class Phase(NamedTuple):
    """A part of a training, with a learning rate cycle of its own.

    Attributes
    ----------
    name
        The part that learns.
    epochs
        Passes over the training split.
    exits
        Positions of the exits whose losses count.
    frozen
        ``True`` if stem, stages and last exit keep their weights.
    """

    name: str
    epochs: int
    exits: tuple[int, ...]
    frozen: bool = False


def phases(recipe: Recipe, network: EarlyExitNetwork) -> list[Phase]:
    """The phases of training ``network`` by ``recipe``.

    One epoch cannot be split, a network without early exits has nothing to do after its backbone, and of one whose backbone a
    space keeps only the exits learn: these have one phase.
    """
    last = len(network.exits) - 1
    everything = tuple(range(last + 1))
    if recipe.regime == "joint" or last == 0 or recipe.epochs < 2 or not learns(network):
        return [Phase("all exits", recipe.epochs, everything)]
    first = recipe.epochs // 2
    backbone = Phase("backbone", first, (last,))
    if recipe.regime == "mixed":
        return [backbone, Phase("all exits", recipe.epochs - first, everything)]
    return [backbone, Phase("early exits", recipe.epochs - first, everything[:-1], frozen=True)]


def learns(network: EarlyExitNetwork) -> bool:
    """``True`` unless a space has frozen stem and stages."""
    return any(parameter.requires_grad for part in (network.stem, network.stages) for parameter in part.parameters())
