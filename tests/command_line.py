"""A command line of the documentation, read as the program reads it, without running it."""

from __future__ import annotations

import re
import shlex
from typing import Any

import typer
from nni_earlyexit.cli import main


def check_line(line: str) -> None:
    """Let Typer parse ``line``, which begins with the program's name; it raises what is wrong with an option or a value."""
    words = shlex.split(line, comments=True)
    # what follows is the shell's
    words = words[1 : words.index(">") if ">" in words else None]
    command: Any = typer.main.get_command(main.app)
    name, context = "nni-earlyexit", None
    while hasattr(command, "resolve_command"):
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
        name, command, words = command.resolve_command(context, words)
    command.make_context(name, words, parent=context)


def lines(text: str) -> list[str]:
    """The command lines of this program in a page, those that go on after a backslash as one."""
    return re.findall(r"^nni-earlyexit .*", text.replace("\\\n", " "), flags=re.M)
