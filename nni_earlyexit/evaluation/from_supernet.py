"""Networks whose weights come from a supernet, as ways to train for :func:`nni_earlyexit.evaluation.evaluation.evaluate`."""

from __future__ import annotations

from pathlib import Path

from nni_earlyexit.data.fingerprint import fingerprint
from nni_earlyexit.data.splits import Data
from nni_earlyexit.evaluation.evaluation import Train
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.supernet.inheritance import take_weights
from nni_earlyexit.supernet.supernet import Supernet
from nni_earlyexit.training.fit import AfterEpoch
from nni_earlyexit.training.recipe import Recipe


def read_supernet(path: str, network: EarlyExitNetwork, data: Data) -> Supernet:
    """The supernet in the file ``path`` for the space of ``network`` and for ``data``.

    Raises ``FileNotFoundError`` where there is none, and ``ValueError`` for one of another space, or one that learned from
    inputs that were prepared otherwise.
    """
    from nni_earlyexit import search_spaces

    if network.space is None:
        raise ValueError("weights: only networks of an early-exit space can take them from a supernet")
    supernet, about = Supernet.load(Path(path), search_spaces.restore(network.space))
    if about.get("data") != fingerprint(data):
        raise ValueError(
            f"weights: {path!r} learned from other data, or from another split of them; give its data and seed"
        )
    if about.get("preprocessing") != data.for_network(network).preprocessing.to_dict():
        raise ValueError(f"weights: {path!r} learned from inputs that were prepared in another way")
    return supernet


def taking_weights(supernet: Supernet, further: Train | None = None) -> Train:
    """Take weights from ``supernet`` in place of a training, or before it, if ``further`` trains."""

    def train(network: EarlyExitNetwork, data: Data, recipe: Recipe, after_epoch: AfterEpoch) -> None:
        take_weights(network, supernet.network, data)
        if further is None:
            after_epoch(0, network)
        else:
            further(network, data, recipe, after_epoch)

    return train
