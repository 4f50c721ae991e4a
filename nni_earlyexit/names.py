"""Looking a name up, with the nearest names when it is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def unknown(what: str, name: object, known: list[str]) -> ValueError:
    """The error for an unknown ``name``: names the field, the value and what would be right."""
    near = difflib.get_close_matches(str(name), known, n=3)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"known: {', '.join(sorted(known))}"
    return ValueError(f"{what}: {name!r} is unknown; {hint}")


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """``table[name]``, or ``ValueError`` that names the field ``what`` and the nearest known names."""
    if name not in table:
        raise unknown(what, name, list(table))
    return table[name]
