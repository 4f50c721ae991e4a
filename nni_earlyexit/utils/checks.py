"""Checks of arguments: one sentence that names the field, the value and what would be right."""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
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


def check_number(name: str, value: object, least: float, multiple_of: int = 1) -> None:
    """``ValueError`` unless ``value`` is a number from ``least``; a whole one, and a multiple, where ``least`` is whole."""
    whole = isinstance(least, int)
    possible = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and value >= least
    if not possible or (whole and value % multiple_of):  # type: ignore[operator]
        kind = "a whole number" if whole else "a number"
        kind = f"a multiple of {multiple_of}" if multiple_of > 1 else kind
        raise ValueError(f"{name}: {value!r} is not possible; {kind} from {least} is")


def check_writable(folder: Path, field: str) -> None:
    """``ValueError`` that names ``field`` unless files can be made in ``folder``, which may not exist yet."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{field}: {str(folder)!r} is not a folder that can be written to")


def check_port(port: int) -> None:
    """``ValueError`` unless ``port`` is free on this machine."""
    if not 0 < port < 65536:
        raise ValueError(f"port: {port} is not possible; a number from 1 to 65535 is")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ValueError(f"port: {port} is in use; stop what listens there or choose another one with --port")
