"""A space with its arguments in one line, as search space files, saved results and commands hold it.

``mobilenetv3/1 max_exits=2 resolution=224`` is the space ``mobilenetv3`` in version 1 with two arguments; what equals its
default is left out. ``timm:resnet18/1`` is short for the space ``timm`` with ``model=resnet18``. The version may be left
out where a user writes it. A name with a dot is that of a Python module, and the model of ``module:my.package.build`` that of a
function in one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """A space's name, its version (``None``: any) and its arguments."""

    name: str
    version: int | None
    arguments: dict[str, Any]


def parse(text: str) -> Identity:
    """The parts of ``text``; ``ValueError`` when it is not written as above."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"space: {text!r} cannot be read: {error}") from None
    match = re.fullmatch(r"([A-Za-z][\w.]*)(?::([\w.-]+))?(?:/(\d+))?", words[0]) if words else None
    if match is None:
        raise ValueError(f"space: {text!r} is not a space; examples: digits, mobilenetv3 resolution=224, timm:resnet18")
    name, model, version = match.groups()
    arguments: dict[str, Any] = {} if model is None else {"model": model}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise ValueError(f"space: {word!r} in {text!r} is not an argument; resolution=224 is one")
        arguments[key] = _value(value)
    return Identity(name, None if version is None else int(version), arguments)


def of_words(words: Sequence[str]) -> str:
    """A space as the words of a command line have it, in one line: an argument may hold spaces."""
    return " ".join([*words[:1], *map(shlex.quote, words[1:])])


def write(name: str, version: int, arguments: Mapping[str, Any]) -> str:
    """The inverse of :func:`parse`."""
    rest = dict(arguments)
    model = rest.pop("model", None)
    first = f"{name}{'' if model is None else f':{model}'}/{version}"
    return " ".join([first, *(shlex.quote(f"{key}={_text(value)}") for key, value in sorted(rest.items()))])


def check_same(
    written: str, wanted: str, *, field: str = "space", whose: str = "is installed", remedy: str | None = None
) -> None:
    """``ValueError`` unless the identity that is ``written`` somewhere is the ``wanted`` one, which ``whose`` tells."""
    if written != wanted:
        again = f"write the search space file again with 'nni-earlyexit space {parse(wanted).name}'"
        raise ValueError(f"{field}: {written!r} is not {wanted!r}, which {whose}; {remedy or again}")


def _value(text: str) -> Any:
    if "," in text and "/" not in text:  # a path is no list
        return tuple(_value(part) for part in text.split(",") if part)
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(_text, value)) + ("," if len(value) < 2 else "")
    return str(value).lower() if isinstance(value, bool) else str(value)
