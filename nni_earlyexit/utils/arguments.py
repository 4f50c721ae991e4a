"""Arguments of a class or a function as its signature and its docstring describe them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SECTIONS = ("Parameters", "Attributes")
_MARKS = re.compile(r":\w+:`(?:~[\w.]*\.)?([^`]+)`|``?([^`]+)``?")


@dataclass(frozen=True)
class Argument:
    """An argument: its name, its default as it is written on a command line, and its meaning.

    ``default`` is ``None`` where one has to be given, and empty where it is left to whoever takes it.
    """

    name: str
    default: str | None
    meaning: str

    def __str__(self) -> str:
        return self.name if self.default is None else f"{self.name}={self.default}"


def arguments_of(function: Callable[..., Any], *documented: type) -> list[Argument]:
    """The named arguments of ``function``; their meanings stand in the docstrings of ``documented``, numpydoc's way."""
    meanings: dict[str, str] = {}
    for cls in documented:
        meanings = {**_meanings(inspect.getdoc(cls) or ""), **meanings}
    return [
        Argument(parameter.name, _written(parameter.default), meanings.get(parameter.name, ""))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and parameter.name != "self"
    ]


def summary(cls: type) -> str:
    """The first sentence of the file of a class."""
    first = (inspect.getdoc(inspect.getmodule(cls)) or "").split("\n\n")[0]
    return re.split(r"(?<=\.)\s", _plain(" ".join(first.split())))[0].removesuffix(".")


def _meanings(docstring: str) -> dict[str, str]:
    """Meanings that a docstring gives to names under a heading that is underlined."""
    meanings: dict[str, str] = {}
    lines = docstring.splitlines()
    section = ""
    names: list[str] = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if re.fullmatch(r"-{3,}", following):
            section, names = line, []
        elif section in _SECTIONS and re.match(r"\w", line):
            names = [name.strip() for name in line.split(":")[0].split(",")]
        elif names and line.startswith(" "):
            for name in names:
                meanings[name] = f"{meanings.get(name, '')} {line.strip()}".strip()
    return {name: _plain(meaning).removesuffix(".") for name, meaning in meanings.items()}


def _plain(text: str) -> str:
    """``text`` without the marks of code."""
    return _MARKS.sub(lambda match: match[1] or match[2], text)


def _written(default: Any) -> str | None:
    if default is inspect.Parameter.empty:
        return None
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(map(str, default)) if isinstance(default, (tuple, list)) else str(default)
