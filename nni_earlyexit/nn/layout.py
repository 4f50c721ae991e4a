"""The order of an image's dimensions, read off its shape."""

from __future__ import annotations

from collections.abc import Sequence


def channels_last(shape: Sequence[int]) -> bool:
    """``True`` if ``shape``, of one square image, is (height, width, channels) and not (channels, height, width)."""
    return len(shape) == 3 and shape[0] == shape[1] != shape[2]
