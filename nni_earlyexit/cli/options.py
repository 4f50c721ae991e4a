"""Types of arguments and options that several commands have, and options that are fields of settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer
from nni_earlyexit import search_spaces
from nni_earlyexit.space.identity import of_words
from nni_earlyexit.utils.amounts import parse_amount, parse_duration, parse_share
from nni_earlyexit.utils.checks import Check, whole_number
from nni_earlyexit.utils.options import Option, options, parts

if TYPE_CHECKING:
    from nni_earlyexit.thresholds.guarantee import Guarantee

T = TypeVar("T")
Result: TypeAlias = "int | None"
"""The exit code of a command; ``None`` is 0."""


def parsed_by(parse: Callable[[str], T]) -> Callable[[str | T], T]:
    """``parse`` as Typer wants it: its ``ValueError`` keeps its sentence, and a default is left as it is."""

    def parsed(text: str | T) -> T:
        try:
            return parse(text) if isinstance(text, str) else text
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parsed


def number(help: str, least: int = 1, most: int | None = None) -> Any:
    """An option that takes a whole number."""
    check = whole_number(least, most)

    def parse(text: str) -> int:
        value = int(text) if text.strip().removeprefix("-").isdecimal() else None
        if value is None or not check.holds(value):
            raise ValueError(f"{text!r} is not possible; {check.wanted} is")
        return value

    return typer.Option(metavar="NUMBER", parser=parsed_by(parse), help=help)


amount, duration, share = parsed_by(parse_amount), parsed_by(parse_duration), parsed_by(parse_share)


def _checked_space(words: Any) -> Any:  # list[str]: with Python 3.10, typer takes that for a class
    search_spaces.check_early(of_words(words))
    return words


Experiment: TypeAlias = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="the ID of an experiment, or its folder")
]
Space: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="SPACE",
        callback=_checked_space,
        help="name of the space and its arguments, such as: mobilenetv3 resolution=224 num_classes=100 max_exits=2",
    ),
]
Results: TypeAlias = Annotated[Path, typer.Option(metavar="FOLDER", help="folder for the results")]
AllowSpace: TypeAlias = Annotated[
    list[str], typer.Option("--allow-space", metavar="MODULE", help="module of your own that files may name")
]
Port: TypeAlias = Annotated[int, number("port of NNI's web UI, on this machine only", most=65535)]
Grace: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="TIME",
        parser=duration,
        help="time that trials may go on after maxExperimentDuration, such as 5m (a tenth of it, at least a minute)",
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
AsCsv: TypeAlias = Annotated[bool, typer.Option("--csv", help="print CSV, for programs and spreadsheets")]


class Among(str, Enum):
    """Inputs that a guarantee is about."""

    all = "all"
    early = "early"


_GUARANTEE = "Guarantee (half of the calibration split is its test)"
GuaranteedDrop: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--guarantee",
        metavar="SHARE",
        parser=share,
        help="the true drop is at most this, such as 1%, with --guarantee-probability",
        rich_help_panel=_GUARANTEE,
    ),
]
GuaranteeProbability: TypeAlias = Annotated[
    float,
    typer.Option(metavar="SHARE", parser=share, help="probability of the guarantee", rich_help_panel=_GUARANTEE),
]
GuaranteeAmong: TypeAlias = Annotated[
    Among,
    typer.Option(
        help="inputs that it is about: all, or early, those that leave before the last exit", rich_help_panel=_GUARANTEE
    ),
]


def guarantee_of(drop: float | None, probability: float, among: Among) -> Guarantee | None:
    """The guarantee that was asked for, if one was."""
    from nni_earlyexit.thresholds.guarantee import Guarantee

    return None if drop is None else Guarantee(drop, probability, among=among.value)


def takes(
    panels: Mapping[str, type[Any]], without: Collection[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a command take the fields of dataclasses as options, under a heading each: ``@takes({"Data": DataSettings})``.

    A dataclass that holds dataclasses has a heading for each of them.

    The command gets those that were given by their names, as ``**given``; the defaults are those of the dataclasses.
    """

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        described = [(panel, o) for panel, o in _options(panels) if o.name not in without]
        names = [o.name for _, o in described]

        @functools.wraps(command)
        def call(*args: Any, **kwargs: Any) -> Any:
            for name in names:
                value = kwargs.pop(name)
                if value is not None and value != []:
                    kwargs[name] = value
            return command(*args, **kwargs)

        own = inspect.signature(command, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [_parameter(o, panel) for panel, o in described]
        call.__annotations__ = {p.name: p.annotation for p in [*kept, *added]}
        # read by Typer, and by Command for the options that take several words
        vars(call)["__signature__"] = own.replace(parameters=[*kept, *added])
        vars(call)["many"] = [_flag(o) for _, o in described if o.many]
        return call

    return decorated


def _options(panels: Mapping[str, type[Any]]) -> Iterator[tuple[str, Option]]:
    for name, cls in panels.items():
        inner = dict(parts(cls))
        if inner and len(inner) == len(fields(cls)):
            yield from _options({part[:1].upper() + part[1:]: held for part, held in inner.items()})
        else:
            yield from ((name, o) for o in options(cls))


def _flag(o: Option) -> str:
    return f"--{o.name.replace('_', '-')}"


def _parameter(o: Option, panel: str) -> inspect.Parameter:
    flag = _flag(o)
    shown = f" ({o.default})" if o.default is not None and not isinstance(o.default, bool) else ""
    how: dict[str, Any] = {"help": f"{o.help}{shown}", "rich_help_panel": panel, "show_default": False}
    if isinstance(o.default, bool):
        flags = [f"{flag}/--no-{o.name.replace('_', '-')}"] if o.default else [flag]
        kind: Any = bool
    else:
        flags, kind = [flag], list[str] if o.many else str
        how |= {"parser": _reader(o.check), "metavar": _metavar(o)}
    annotation = Annotated[kind | None, typer.Option(*flags, **how)]
    return inspect.Parameter(o.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _metavar(o: Option) -> str:
    return o.unit.upper() if o.unit.isalpha() else "VALUE" if not o.many else "VALUE..."


def _reader(check: Check) -> Callable[[str], Any]:
    """The check's way to read text: its sentence says the value and what would be right."""

    def parse(text: str) -> Any:
        try:
            return check.parse(text)
        except ValueError as error:
            said = str(error) if "; " in str(error) else f"{text!r} is not possible; {check.wanted} {check.verb}"
            raise ValueError(said) from None

    return parsed_by(parse)
