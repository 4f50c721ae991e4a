"""Resolutions that the strides of a network divide evenly."""

from __future__ import annotations

from nni_earlyexit.utils.checks import check_number


def check_divides(resolution: int, divisor: int) -> None:
    """``ValueError`` unless images of this ``resolution`` can be divided evenly by all the strides, ``divisor`` in all."""
    check_number("resolution", resolution, divisor)
    if resolution % divisor:
        near = round(resolution / divisor) * divisor
        raise ValueError(
            f"resolution: {resolution} cannot be divided evenly by the strides; a multiple of {divisor} can, such as {near}"
        )


def is_small(resolution: int) -> bool:
    """``True`` if images of this ``resolution`` are so small that a network halves them three times, not five."""
    check_number("resolution", resolution, 8)
    return resolution < 96
