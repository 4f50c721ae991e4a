"""The outline of a data set: the size of its inputs and the number of its classes, without decoding its images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from nni_earlyexit.data.loading import read_raw
from nni_earlyexit.data.registry import parse
from nni_earlyexit.data.settings import DataSettings

LOOKED_AT = 1000
"""Images whose size is looked at."""


class Outline(NamedTuple):
    """The outline of a data set.

    Attributes
    ----------
    pixels
        Pixels on the shorter side of a typical image; ``None`` where inputs are no images.
    tokens
        Token ids of a sentence; ``None`` where inputs are none.
    num_classes
        Number of classes.
    """

    pixels: int | None
    tokens: int | None
    num_classes: int


def outline(settings: DataSettings) -> Outline:
    """The outline of the data that ``settings`` describe."""
    settings.check_there()
    source = parse(settings.source)
    if source.module.RESIZES:
        from nni_earlyexit.data.images import sizes

        files = source.module.listing(settings, source.path)
        looked_at = np.unique(np.linspace(0, len(files) - 1, LOOKED_AT).astype(int))
        some = files.without(np.setdiff1d(np.arange(len(files)), looked_at))
        pixels = int(np.median(sizes(some)[:, 1:].min(axis=1)))
        return Outline(pixels, None, len(files.class_names))
    raw = read_raw(settings)
    num_classes = int(raw.labels.max()) + 1
    if raw.inputs is None:
        tokens, *_ = settings.input_shape or (settings.tokens,)
        return Outline(None, tokens, num_classes)
    shape = raw.inputs.input_shape
    are_tokens = len(shape) == 1 and not raw.inputs.read(np.arange(1)).is_floating_point()
    return Outline(min(shape[1:]) if len(shape) == 3 else None, shape[0] if are_tokens else None, num_classes)
