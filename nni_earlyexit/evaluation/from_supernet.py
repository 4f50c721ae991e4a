"""Networks whose weights come from a supernet, as ways to train for :func:`nni_earlyexit.evaluation.evaluation.evaluate`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from nni_earlyexit.data.fingerprint import fingerprint
from nni_earlyexit.data.splits import Data
from nni_earlyexit.evaluation.evaluation import Train
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.supernet.inheritance import take_weights
from nni_earlyexit.supernet.supernet import Supernet
from nni_earlyexit.training.fit import AfterEpoch
from nni_earlyexit.training.recipe import Recipe


def read_supernet(path: str, network: EarlyExitNetwork, data: Data) -> Supernet:
    """The supernet in the file ``path``, of the space of ``network`` or one that holds it, for ``data``.

    Raises ``FileNotFoundError`` where there is none, and ``ValueError`` for one of another space, or one that learned from
    inputs that were prepared otherwise.
    """
    from nni_earlyexit import search_spaces

    if network.space is None:
        raise ValueError("weights: only networks of an early-exit space can take them from a supernet")
    supernet, about = Supernet.load(Path(path), search_spaces.restore(Supernet.space_of(Path(path))))
    sample_in(supernet, network)
    if about.get("data") != fingerprint(data):
        raise ValueError(
            f"weights: {path!r} learned from other data, or from another split of them; give its data and seed"
        )
    if about.get("preprocessing") != data.for_network(network).preprocessing.to_dict():
        raise ValueError(f"weights: {path!r} learned from inputs that were prepared in another way")
    return supernet


def sample_in(supernet: Supernet, network: EarlyExitNetwork) -> dict[str, Any]:
    """The sample of ``network`` in the space of ``supernet``; ``ValueError`` where it has no such network."""
    space, sample = str(network.space), dict(network.sample or {})
    if space == supernet.space.identity():
        return sample
    try:
        return supernet.space.widened(sample, _space(space))
    except ValueError as error:
        raise ValueError(
            f"weights: the supernet is one of {supernet.space.identity()!r}, not of {space!r}; {error}"
        ) from None


@lru_cache(maxsize=4)
def _space(identity: str) -> EarlyExitSpace:
    from nni_earlyexit import search_spaces

    return search_spaces.restore(identity)


def taking_weights(supernet: Supernet, further: Train | None = None) -> Train:
    """Take weights from ``supernet`` in place of a training, or before it, if ``further`` trains."""

    def train(network: EarlyExitNetwork, data: Data, recipe: Recipe, after_epoch: AfterEpoch) -> None:
        take_weights(network, supernet.network, data, sample=sample_in(supernet, network))
        if further is None:
            after_epoch(0, network)
        else:
            further(network, data, recipe, after_epoch)

    return train
