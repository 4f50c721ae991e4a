"""Resolutions that the strides of a network divide evenly, and how often a network halves its images."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nni_earlyexit.utils.checks import check_number, optional, whole_number

SMALL, LARGE = 3, 5
"""Halvings of small images, and of others: as ImageNet's networks."""

_ABOUT_RESOLUTION = re.compile("resolution: |weights: '.*' has shape ")
"""Sentences on the resolution, or on weights that are made for one, such as those of places."""
FARTHEST = 256
"""Pixels that :func:`nearest` looks to either side."""


def check_divides(resolution: int, divisor: int) -> None:
    """``ValueError`` unless images of this ``resolution`` can be divided evenly by all the strides, ``divisor`` in all."""
    check_number("resolution", resolution, divisor)
    if resolution % divisor:
        near = max(1, round(resolution / divisor)) * divisor
        raise ValueError(
            f"resolution: {resolution} cannot be divided evenly by the strides; a multiple of {divisor} can, such as {near}"
        )


def is_small(resolution: int) -> bool:
    """``True`` if images of this ``resolution`` are so small that a network halves them three times, not five."""
    check_number("resolution", resolution, 8)
    return resolution < 96


def check_halvings(resolution: int, halvings: int | None = None) -> int:
    """Times that a network halves images of this ``resolution``: ``halvings``, by default 3 below 96 pixels, else 5.

    Raises ``ValueError`` where the images cannot be halved so often.
    """
    optional(whole_number(1, LARGE))("halvings", halvings)
    if halvings is None:
        halvings = SMALL if is_small(resolution) else LARGE
    check_divides(resolution, 2**halvings)
    return halvings


def kept_strides(strides: Sequence[int], halvings: int) -> list[int]:
    """``strides`` with so many ``halvings``: the first ones become 1 where they are too many."""
    surplus = sum(stride > 1 for stride in strides) - halvings
    kept = []
    for stride in strides:
        kept.append(1 if stride > 1 and surplus > 0 else stride)
        surplus -= stride > 1
    return kept


def nearest(pixels: int, check: Callable[[int], object]) -> int:
    """The resolution next to ``pixels`` that ``check`` does not refuse; the larger of two.

    Raises ``ValueError`` when there is none near, and at once what ``check`` says of anything but the resolution.
    """
    check_number("resolution", pixels, 1)
    for distance in range(FARTHEST + 1):
        for resolution in dict.fromkeys((pixels + distance, pixels - distance)):
            if resolution > 0:
                try:
                    check(resolution)
                except ValueError as error:
                    if not _ABOUT_RESOLUTION.match(str(error)):
                        raise  # it would be the same at every other one, and a model may take seconds to be made
                    continue
                return resolution
    raise ValueError(f"resolution: {pixels} is not possible, and nothing within {FARTHEST} pixels of it is")
