"""Amounts as people write them: counts with a unit, shares and durations."""

from __future__ import annotations

import math

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


MAX_DURATION_S = 1e9
"""Longest duration, thirty years; more is a mistake, and more than timers can count."""


def parse_amount(text: str) -> float:
    """Number of a count with a unit: ``"2M"`` -> 2000000.0; k, M and G are thousand, million and billion."""
    units = {"k": 1e3, "m": 1e6, "g": 1e9}
    number, unit = (text[:-1], units[text[-1].lower()]) if text[-1:].lower() in units else (text, 1.0)
    try:
        return float(number) * unit
    except ValueError:
        raise ValueError(f"{text!r} is not a number; examples: 150000, 150k, 2M") from None


def parse_bytes(text: str) -> float:
    """Bytes: ``"8G"``, ``"8GB"`` -> 8e9; ``ValueError`` unless more than none."""
    try:
        amount = parse_amount(text[:-1] if text[-1:] in ("b", "B") else text)
    except ValueError:
        amount = math.nan
    if not 0 < amount < math.inf:
        raise ValueError(f"{text!r} is no amount of memory; examples: 500M, 8G")
    return amount


def parse_share(text: str) -> float:
    """Share in a text: ``"1%"`` and ``"0.01"`` -> 0.01; ``ValueError`` if it is not from 0 to 1."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError(f"{text!r} is not a share; examples: 0.01, 1%")
    return share


def parse_duration(value: str | float) -> float:
    """Seconds: of ``90``, ``"90s"``, ``"1.5m"``, ``"2h"`` and ``"1d"``, as NNI writes them; ``ValueError`` unless positive."""
    text = str(value).strip()
    unit = _SECONDS.get(text[-1:])
    try:
        duration = float(text if unit is None else text[:-1]) * (unit or 1)
    except ValueError:
        duration = math.nan
    if isinstance(value, bool) or not 0 < duration < MAX_DURATION_S:
        raise ValueError(f"{value!r} is not a duration; examples: 90, 90s, 10m, 2h")
    return duration


def format_amount(amount: float) -> str:
    """Text of an amount like that of :func:`format_macs`, small numbers such as seconds too."""
    return f"{amount:.3g}" if amount < 1 else format_macs(amount)


def format_macs(macs: float) -> str:
    """Text of an amount of MACs: ``2000000`` -> ``"2M"``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if macs >= size:
            return f"{macs / size:.3g}{unit}"
    return f"{macs:.0f}"


def format_bytes(count: float) -> str:
    """Text of an amount of bytes: ``184320000`` -> ``"184 MB"``."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"
