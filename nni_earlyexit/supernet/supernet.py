"""A supernet of a space: every network of the space is a path through it, and they share their weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from nni.nas.strategy import RandomOneShot
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.supernet.elastic import ElasticLayer
from nni_earlyexit.utils.tensors import read_about, read_tensors, write_tensors
from torch import nn

FORMAT = 1


class Supernet:
    """The supernet of a space, made by NNI's one-shot machinery with layers that share weights.

    Parameters
    ----------
    space
        The space, which stays as it is.

    Attributes
    ----------
    network
        The network, in which a path must be sampled (:func:`take_path`) before it runs.
    """

    def __init__(self, space: EarlyExitSpace) -> None:
        self.space = space
        changed = type(space)(**space.arguments)
        RandomOneShot(mutation_hooks=[ElasticLayer.mutate]).mutate_model(changed)
        self.network: EarlyExitNetwork = changed.network

    @cached_property
    def largest(self) -> dict[str, Any]:
        """The sample of the dearest network."""
        return self.space.extreme(self.space.exit_costs, exit=-1, most=True)[0]

    @cached_property
    def smallest(self) -> dict[str, Any]:
        """The sample of the cheapest network."""
        return self.space.extreme(self.space.exit_costs, exit=-1)[0]

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the weights to ``path``, whole or not at all, with facts ``about`` them."""
        facts = {"format": FORMAT, "space": self.space.identity(), **about}
        write_tensors(path, self.network.state_dict(), facts)

    @classmethod
    def space_of(cls, path: Path) -> str:
        """Identity of the space of the supernet in the file ``path``; raises as :meth:`load` does."""
        return str(_of_this_version(read_about(path, "weights"), path).get("space"))

    @classmethod
    def load(cls, path: Path, space: EarlyExitSpace) -> tuple[Supernet, dict[str, Any]]:
        """The supernet in the file ``path`` and the facts about it.

        Raises ``FileNotFoundError`` where there is none, ``ValueError`` for a damaged one and one of another space.
        """
        tensors, facts = read_tensors(path, "weights")
        about = _of_this_version(facts, path)
        if about.get("space") != space.identity():
            raise ValueError(
                f"weights: {str(path)!r} is a supernet of {about.get('space')!r}, not of {space.identity()!r}"
            )
        supernet = cls(space)
        try:
            supernet.network.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(f"weights: {str(path)!r} does not fit: {' '.join(str(error).split())[:200]}") from None
        return supernet, about


def _of_this_version(about: Any, path: Path) -> dict[str, Any]:
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"weights: {str(path)!r} is no supernet that this version reads")
    return about


def take_path(network: nn.Module, sample: Mapping[str, Any]) -> None:
    """Let the supernet ``network`` run the path of ``sample`` from now on."""
    memo = dict(sample)
    for module in network.modules():
        if isinstance(module, BaseSuperNetModule):
            module.resample(memo)
