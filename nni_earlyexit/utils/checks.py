"""Checks of arguments: one sentence that names the field, the value and what would be right.

Booleans are no numbers here, and neither is text, though Python calls ``True`` a whole number.
"""

from __future__ import annotations

import difflib
import math
import numbers
import os
import reprlib
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from nni_earlyexit.utils.amounts import parse_amount, parse_share

T = TypeVar("T")

_SHORT = reprlib.Repr()
"""Shows a value, cut where it is very long: a file may hold anything."""
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
_SHORT.maxlist = _SHORT.maxdict = 20


@dataclass(frozen=True)
class Check:
    """A rule for one value.

    Attributes
    ----------
    wanted
        The values that are right, in words: ``"a whole number from 1"``.
    holds
        ``True`` for a value that is right.
    parse
        Function from the text on a command line to a value; ``ValueError`` when there is none.
    verb
        The end of the sentence.
    """

    wanted: str
    holds: Callable[[Any], bool]
    parse: Callable[[str], Any] = str
    verb: str = "is"

    def __call__(self, name: str, value: object) -> None:
        """Raise ``ValueError`` in one sentence unless ``value`` of the field ``name`` is right."""
        if not self.holds(value):
            shown = _SHORT.repr(list(value) if isinstance(value, tuple) else value)
            raise ValueError(f"{name}: {shown} is not possible; {self.wanted} {self.verb}")


def is_number(value: object) -> bool:
    """``True`` for a real number that is not NaN and that a float can hold; no boolean is one."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(value)
    except OverflowError:
        return False


def is_whole(value: object) -> bool:
    """``True`` for an integer; no boolean is one."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _between(least: float, most: float | None) -> str:
    return f" from {least}" + ("" if most is None else f" to {most}")


def whole_number(least: int, most: int | None = None) -> Check:
    """A whole number within limits."""
    limit = math.inf if most is None else most
    return Check(f"a whole number{_between(least, most)}", lambda v: is_whole(v) and least <= v <= limit, int)


def number(least: float | None = None) -> Check:
    """A finite number, from ``least`` if it is given."""
    wanted = "a number" if least is None else f"a number from {least}"
    return Check(wanted, lambda v: is_number(v) and (-math.inf if least is None else least) <= v < math.inf, float)


def positive(unit: str = "", parse: Callable[[str], float] = parse_amount) -> Check:
    """A positive finite number, of a ``unit``."""
    return Check(f"a positive number{unit and f' of {unit}'}", lambda v: is_number(v) and 0 < v < math.inf, parse)


def share() -> Check:
    """A fraction from 0 to 1."""
    return Check("a share from 0 to 1", lambda v: is_number(v) and 0 <= v <= 1, parse_share)


def boolean() -> Check:
    """A boolean."""
    return Check("true or false", lambda v: isinstance(v, (bool, np.bool_)))


def one_of(values: Iterable[str]) -> Check:
    """One of several words."""
    words = tuple(values)
    return Check(" and ".join(map(repr, words)), lambda v: isinstance(v, str) and v in words, verb="are")


def optional(check: Check) -> Check:
    """Nothing, or what ``check`` asks for."""
    return Check(check.wanted, lambda v: v is None or check.holds(v), check.parse, check.verb)


def list_of(check: Check, wanted: str) -> Check:
    """Several values, each of which ``check`` asks for; ``wanted`` says so in words."""
    return Check(wanted, lambda v: isinstance(v, (tuple, list)) and all(map(check.holds, v)), check.parse, "are")


MOST_NAMES = 20
"""Names that a sentence lists all of, at most."""


def unknown(what: str, name: object, names: Collection[str]) -> ValueError:
    """The error for an unknown ``name``: names the field, the value and what would be right."""
    near = difflib.get_close_matches(str(name), names, n=3)
    if not near and len(names) > MOST_NAMES:
        near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.3)
    many = len(names) > MOST_NAMES
    listed = (
        f"{', '.join(sorted(names)[:3] if many else sorted(names))}{f' and {len(names) - 3:,} more' if many else ''}"
    )
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"known: {listed}"
    return ValueError(f"{what}: {name!r} is unknown; {hint}")


def check_known(what: str, names: Iterable[object], allowed: Collection[str]) -> None:
    """Raise ``ValueError`` with the nearest names unless all ``names`` are ``allowed``."""
    for name in names:
        if name not in allowed:
            raise unknown(what, name, allowed)


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """``table[name]``, or ``ValueError`` that names the field ``what`` and the nearest known names."""
    check_known(what, [name], table)
    return table[name]


def are_matrices(value: object) -> bool:
    """``True`` for a list of arrays of two dimensions, such as grey images, of which an array would look like one image."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(getattr(each, "ndim", None) == 2 for each in value)


def check_number(name: str, value: object, least: float, multiple_of: int = 1) -> None:
    """Raise ``ValueError`` unless ``value`` is a number from ``least``; a whole one, and a multiple, if ``least`` is whole."""
    if multiple_of > 1:
        check = Check(
            f"a multiple of {multiple_of} from {least}", lambda v: is_whole(v) and v >= least and v % multiple_of == 0
        )
    else:
        check = whole_number(least) if isinstance(least, int) else number(least)
    check(name, value)


def check_writable(folder: Path, field: str) -> None:
    """Raise ``ValueError`` that names ``field`` unless files can be made in ``folder``, which may not exist yet."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{field}: {str(folder)!r} is not a folder that can be written to")


def check_port(port: int) -> None:
    """Raise ``ValueError`` unless ``port`` is free on this machine."""
    if not 0 < port < 65536:
        raise ValueError(f"port: {port} is not possible; a number from 1 to 65535 is")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ValueError(f"port: {port} is in use; stop what listens there or choose another one with --port")
