"""Lines of progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

Say: TypeAlias = Callable[[str], None]
"""Takes one line of progress."""


def say(line: str) -> None:
    """Print a line of progress. When nobody reads any more, as after the end of a terminal, the work goes on to its end."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  to the end of this process


def say_aside(line: str) -> None:
    """Print a line of progress on stderr, where stdout is for a program."""
    print(line, file=sys.stderr, flush=True)


def terminal() -> Console | None:
    """The terminal that somebody looks at; ``None`` where output goes elsewhere."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    from rich.console import Console

    return Console()
