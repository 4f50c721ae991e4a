"""Options: fields of dataclasses that say what they mean, and command lines, checks and tables that are made of them.

An option is said once, as a field of a frozen dataclass::

    @dataclass(frozen=True)
    class Recipe:
        epochs: int = option(12, "passes over the training split", whole_number(1))

From it come the check of its value (:func:`check_options`, in ``__post_init__``), its place on a command line
(:func:`add_options`), its line in a docstring (:func:`numpydoc`) and in a table of the documentation (:func:`markdown`).
Dataclasses may hold dataclasses; from outside, all options are one flat set of names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from nni_earlyexit.utils.checks import Check, check_known

T = TypeVar("T")

_KEY = "option"


@dataclass(frozen=True)
class Option:
    """One option as its field describes it.

    Attributes
    ----------
    name
        The name that it has outside: of a keyword, of a key in a file; on a command line with dashes.
    default
        The value if it is not given.
    help
        Its meaning, in a few words.
    check
        The rule for its value.
    unit
        The unit of its value, if it has one.
    many
        ``True`` where it takes several values.
    """

    name: str
    default: Any
    help: str
    check: Check
    unit: str
    many: bool

    @property
    def shown_default(self) -> str:
        """The default in a table."""
        return "" if self.default is None else str(self.default)


def option(default: Any, help: str, check: Check, *, unit: str = "", many: bool = False, name: str = "") -> Any:
    """A dataclass field that is an option; ``name`` if its name outside is not that of the field."""
    description = {"help": help, "check": check, "unit": unit, "many": many, "name": name}
    return field(default=default, metadata={_KEY: description})


def _is_option(f: Field[Any]) -> bool:
    return _KEY in f.metadata


def _part(f: Field[Any]) -> type[Any] | None:
    """The dataclass that a field holds, if it holds one."""
    factory = f.default_factory
    return factory if isinstance(factory, type) and is_dataclass(factory) else None


def _name(f: Field[Any]) -> str:
    return f.metadata[_KEY]["name"] or f.name


def options(cls: type[Any]) -> list[Option]:
    """Every option of a dataclass and of those that it holds, in the order of the fields."""
    every: list[Option] = []
    for f in fields(cls):
        if _is_option(f):
            described = f.metadata[_KEY]
            every.append(
                Option(
                    name=_name(f),
                    default=f.default,
                    help=described["help"],
                    check=described["check"],
                    unit=described["unit"],
                    many=described["many"],
                )
            )
        elif (part := _part(f)) is not None:
            every += options(part)
    return every


def parts(cls: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """The dataclasses that a dataclass holds, by the names of their fields."""
    for f in fields(cls):
        if (part := _part(f)) is not None:
            yield f.name, part


def check_options(instance: Any) -> None:
    """Raise ``ValueError`` in one sentence for the first option of ``instance`` whose value is not right."""
    for f in fields(instance):
        if _is_option(f):
            f.metadata[_KEY]["check"](_name(f), getattr(instance, f.name))


def build(cls: type[T], given: Mapping[str, Any], what: str = "arguments") -> T:
    """An instance of the dataclass ``cls`` from a flat mapping by the options' names.

    ``ValueError`` with the nearest names for a name that is no option; ``what`` is where it stands.
    """
    check_known(what, given, [o.name for o in options(cls)])
    return cls(**_arguments(cls, given))


def _arguments(cls: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for f in fields(cls):
        if _is_option(f):
            if _name(f) in given:
                value = given[_name(f)]
                arguments[f.name] = tuple(value) if f.metadata[_KEY]["many"] and isinstance(value, list) else value
        elif (part := _part(f)) is not None:
            arguments[f.name] = part(**_arguments(part, given))
    return arguments


def flat(instance: Any) -> dict[str, Any]:
    """The inverse of :func:`build`: the value of every option by its name."""
    return dict(_values(instance))


def _values(instance: Any) -> Iterator[tuple[str, Any]]:
    for f in fields(instance):
        if _is_option(f):
            yield _name(f), getattr(instance, f.name)
        elif _part(f) is not None:
            yield from _values(getattr(instance, f.name))


def add_options(parser: argparse._ActionsContainer, cls: type[Any]) -> None:
    """Let ``parser`` take every option of ``cls``."""
    for o in options(cls):
        words, default = o.help.replace("%", "%%"), o.default
        flag = f"--{o.name.replace('_', '-')}"
        if isinstance(o.default, bool):
            action = argparse.BooleanOptionalAction if o.default else "store_true"
            parser.add_argument(flag, action=action, default=default, help=words)
        else:
            shown = f" ({o.default})" if o.default is not None else ""
            parser.add_argument(
                flag, type=_parsed_by(o.check), nargs="+" if o.many else None, default=default, help=words + shown
            )


def _parsed_by(check: Check) -> Callable[[str], Any]:
    """The check's way to read text, as argparse wants it: its ``ValueError`` names the option."""

    def parse(text: str) -> Any:
        try:
            return check.parse(text)
        except ValueError as error:
            said = str(error) if "; " in str(error) else f"{text!r} is not possible; {check.wanted} {check.verb}"
            raise argparse.ArgumentTypeError(said) from None

    return parse


def numpydoc(cls: type[Any], indent: str = "    ") -> str:
    """The ``Parameters`` section of a docstring."""
    lines = ["Parameters", "----------"]
    for o in options(cls):
        default = "optional" if o.default is None else f"default {o.default!r}"
        lines += [f"{o.name} : {default}", f"    {_sentence(o)}"]
    return f"\n{indent}".join(lines)


def markdown(cls: type[Any]) -> str:
    """A table for the documentation, one row per option."""
    rows = ["| option | default | right | meaning |", "| --- | --- | --- | --- |"]
    for o in options(cls):
        default = f"`{o.shown_default}`" if o.shown_default else ""
        rows.append(f"| `{o.name}` | {default} | {o.check.wanted} | {_sentence(o)[:-1]} |")
    return "\n".join(rows)


def _sentence(o: Option) -> str:
    unit = f" ({o.unit})" if o.unit and o.unit not in o.help else ""
    return f"{o.help[0].upper()}{o.help[1:]}{unit}."
