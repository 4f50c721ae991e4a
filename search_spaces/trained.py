"""A network that was trained before as the backbone: only new exits are searched.

``trained folder=TRIAL`` takes the network from the folder of a finished trial or training, without its early exits. It keeps
all of its weights, and its own classifier is the last exit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from nni_earlyexit import search_spaces
from nni_earlyexit.nn.cutting import StagedModel
from nni_earlyexit.nn.fixed_stage import FixedStage
from nni_earlyexit.nn.inference import example, inference
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.nn.weights import time_of_change
from nni_earlyexit.space import identity
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.given_backbone import given_parts
from nni_earlyexit.utils.files import read_json

_WEIGHTS = "weights.safetensors"
BACKBONE = "backbone.json"
"""File that says what a network is, in the folder of one without weights, as in a bundle, which has all weights elsewhere."""


class Space(EarlyExitSpace):
    """Per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    folder
        The folder of a finished trial, or of ``nni-earlyexit train``.
    """

    name = "trained"
    examples = ()

    @classmethod
    def _checked(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """``arguments`` with a path from ``/``, which means the same folder wherever the space is made again."""
        checked = super()._checked(arguments)
        return {**checked, "folder": str(Path(str(checked["folder"])).expanduser().resolve())}

    @classmethod
    def parts(cls, folder: str) -> Parts:
        """The network's stages, an exit after each but the last, and the network's own classifier.

        Raises ``FileNotFoundError`` where no trained network is, and ``ValueError`` for one that is damaged or has one stage.
        """
        path = Path(folder)
        network, taken = _taken(path, max(time_of_change(str(path / name)) for name in (_WEIGHTS, BACKBONE)))
        pixels = network.preprocessing if network.preprocessing and network.preprocessing.pixels else None
        return given_parts(
            taken,
            frozen=True,
            padded=len(taken.input_shape) == 1,
            mean=pixels.mean if pixels else None,
            std=pixels.std if pixels else None,
        )


@lru_cache(maxsize=4)
def _taken(folder: Path, changed: float) -> tuple[EarlyExitNetwork, StagedModel]:
    """The network in ``folder``, and its pieces; ``changed`` is the time of its weights or description."""
    described = folder / BACKBONE
    network = _described(described) if described.is_file() else EarlyExitNetwork.load(folder)
    if len(network.stages) < 2:
        raise ValueError(f"folder: the network of {str(folder)!r} has one stage, between whose blocks no exit can be")
    x = example(network.input_shape)
    pieces = []
    with inference(network):
        for piece in (network.stem, *network.stages, network.exits[str(network.exit_stages[-1])]):
            y = piece(x)
            pieces.append(FixedStage(piece, x.shape[1:], y.shape[1:]))
            x = y
    stem, *stages, head = pieces
    return network, StagedModel(stem, stages, head, network.input_shape, network.num_classes)


def _described(path: Path) -> EarlyExitNetwork:
    """The network that the file ``path`` describes, with new weights."""
    described = read_json(path, "folder")
    try:
        wanted, sample = identity.parse(described["space"]), described["sample"]
    except (LookupError, TypeError, AttributeError):
        raise ValueError(f"folder: {str(path)!r} does not describe a network") from None
    arguments = wanted.arguments
    if "folder" in arguments:
        arguments = {**arguments, "folder": str(path.parent / "backbone")}
    return search_spaces.restore(identity.write(wanted.name, wanted.version or 1, arguments)).freeze(sample).eval()
