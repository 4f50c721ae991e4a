"""Any network of your own as the backbone: only its exits are searched.

``module:my.package.build exits=layer2,layer3`` calls the function ``build`` of the Python module ``my.package``, which returns
a ``torch.nn.Module`` that makes logits of images, and attaches exits after its modules ``layer2`` and ``layer3``. Its weights
are those that the function gives it or those of a file, and can be kept from learning.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache

from nni_earlyexit.nn.weights import time_of_change
from nni_earlyexit.space.any_model import TakenModel, names, take
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.space.given_backbone import given_parts
from nni_earlyexit.utils.checks import check_number
from nni_earlyexit.utils.named_function import named_function
from torch import nn


class Space(EarlyExitSpace):
    """Per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    model
        Dotted name of a function, or class, of yours that returns the network. It is called with ``resolution``, ``in_chans``
        and, if it is given here, ``num_classes``, as far as it has parameters of these names.
    resolution
        Pixels on a side.
    num_classes
        Number of classes; that of the network by default. A classifier that is made for it is new, unless a file has weights
        for it.
    in_chans
        Channels of an image.
    weights
        A safetensors file with the network's weights.
    frozen
        ``True``: the network keeps its weights, all but those of a new classifier, and only exits learn.
    exits
        Names of the modules that an exit can follow, in the order in which they run; found by the resolution by default.
    mean, std
        Normalisation that the weights were trained with, one number per channel, for images scaled to 0..1.
    """

    name = "module"
    examples = ()

    @classmethod
    def parts(
        cls,
        model: str,
        resolution: int = 224,
        num_classes: int | None = None,
        in_chans: int = 3,
        weights: str = "",
        frozen: bool = False,
        exits: str | tuple[str, ...] = (),
        mean: float | tuple[float, ...] | None = None,
        std: float | tuple[float, ...] | None = None,
    ) -> Parts:
        """The network cut into stages, an exit after each but the last, and the network's own classifier.

        Raises ``ValueError`` when there is no such function, its network cannot be cut, or weights do not fit.
        """
        if num_classes is not None:
            check_number("num_classes", num_classes, 2)
        check_number("resolution", resolution, 1)
        check_number("in_chans", in_chans, 1)
        build = named_function("model", str(model))
        taken = _taken(
            build,
            str(model),
            resolution,
            num_classes,
            in_chans,
            str(weights),
            time_of_change(str(weights)),
            names(exits),
        )
        return given_parts(
            taken.staged,
            frozen=frozen,
            learning=taken.learning,
            mean=_per_channel("mean", mean, in_chans),
            std=_per_channel("std", std, in_chans),
        )


def _parameters(build: Callable[..., nn.Module]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(build).parameters)
    except ValueError:  # one that is not written in Python
        return ()


@lru_cache(maxsize=4)
def _taken(
    build: Callable[..., nn.Module],
    model: str,
    resolution: int,
    num_classes: int | None,
    in_chans: int,
    weights: str,
    changed: float,
    exits: tuple[str, ...],
) -> TakenModel:
    """The network taken apart; ``changed`` is the time of the file."""
    own = _parameters(build)

    def made(classes: int | None) -> nn.Module:
        arguments = {"resolution": resolution, "in_chans": in_chans, "num_classes": classes}
        taken = {name: value for name, value in arguments.items() if name in own and value is not None}
        try:
            return build(**taken)
        except TypeError as error:
            raise ValueError(f"model: {model} cannot be called: {error}") from None

    return take(
        made,
        model,
        (in_chans, resolution, resolution),
        num_classes=num_classes,
        is_new=num_classes is not None and "num_classes" in own,
        weights=weights,
        exits=exits,
    )


def _per_channel(name: str, value: float | tuple[float, ...] | None, channels: int) -> tuple[float, ...] | None:
    """``value`` as one number for each of the ``channels``."""
    if value is None:
        return None
    numbers = value if isinstance(value, tuple) else (value,) * channels
    for number in numbers:
        check_number(name, number, 0.0)
    if len(numbers) != channels:
        raise ValueError(f"{name}: {len(numbers)} numbers are not possible; one per channel, {channels}, are")
    return tuple(map(float, numbers))
