"""A space whose inputs and classes are those of a data set, where a user does not say them."""

from __future__ import annotations

from typing import Any

from nni_earlyexit import search_spaces
from nni_earlyexit.data.outline import outline
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.space import identity
from nni_earlyexit.space.base import EarlyExitSpace


def space_for_data(space: str, settings: DataSettings) -> EarlyExitSpace:
    """The space called ``space``, its resolution the possible one next to the images', and as many classes as there are.

    Arguments that ``space`` has are kept. For sentences, it has their number of token ids and their vocabulary.
    """
    wanted = identity.parse(space)
    space_class = search_spaces.find(wanted.name)
    task = outline(settings)
    arguments: dict[str, Any] = dict(wanted.arguments)
    usual: dict[str, Any] = {"num_classes": task.num_classes}
    if task.tokens is not None:
        usual |= {"tokens": task.tokens, "vocabulary": settings.vocabulary}
    arguments |= {name: value for name, value in usual.items() if name not in arguments and space_class.takes(name)}
    if task.pixels is not None and "resolution" not in arguments and space_class.takes("resolution"):
        pixels = task.pixels if settings.input_shape is None else settings.input_shape[-1]
        arguments["resolution"] = space_class.nearest_resolution(pixels, **arguments)
    return search_spaces.create(
        f"{wanted.name}" if wanted.version is None else f"{wanted.name}/{wanted.version}", **arguments
    )
