"""Commands that are imported when they are asked for, and mistakes on a command line as one sentence.

Help and completion name every command; they need no command's module, so they wait for none.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Entry:
    """A command before it is imported.

    Attributes
    ----------
    name
        The word that calls it.
    summary
        Its line in the list of commands.
    panel
        The heading that it is listed under.
    """

    name: str
    summary: str
    panel: str

    def load(self) -> Any:
        """The command, from ``command`` in its module, or ``app`` where it has commands of its own."""
        module = importlib.import_module(f"nni_earlyexit.cli.{self.name}")
        if hasattr(module, "app"):
            return typer.main.get_command(module.app)
        app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        app.command(self.name, cls=Command, context_settings=HELP)(module.command)
        return typer.main.get_command(app)


HELP = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    """A command some of whose options take several words: ``--input-shape 3 32 32``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give each of several words the option that it belongs to, which is how Typer takes them."""
        many = getattr(self.callback, "many", ())
        return super().parse_args(ctx, list(_spread(args, many)) if many else args)


def _spread(words: Sequence[str], many: Sequence[str]) -> Iterator[str]:
    current = ""
    for number, word in enumerate(words):
        if _is_option(word):
            current = word if word in many else ""
        if not current:
            yield word
        elif word == current:
            if number + 1 == len(words) or _is_option(words[number + 1]):
                yield word  # and Typer says that its value is missing
        else:
            yield from (current, word)


def _is_option(word: str) -> bool:
    """``True`` for a word such as ``--name`` or ``-n``, and not for a negative number."""
    return word.startswith("-") and re.fullmatch(r"-[\d.].*", word) is None


class Sentences(TyperGroup):
    """Commands, of which an unknown one gets the nearest names."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the words call."""
        _check_name(args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def _check_name(name: str, names: Sequence[str]) -> None:
    from nni_earlyexit.utils.checks import check_known

    check_known("command", [name], names)


class Group(TyperGroup):
    """The commands of :data:`nni_earlyexit.cli.main.COMMANDS`."""

    entries: Sequence[Entry] = ()

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in their order."""
        return [entry.name for entry in self.entries]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command's line in the help, without its module."""
        for entry in self.entries:
            if entry.name == cmd_name:
                return TyperCommand(
                    entry.name, help=entry.summary, short_help=entry.summary, rich_help_panel=entry.panel
                )
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the words call."""
        for entry in self.entries:
            if entry.name == args[0]:
                return entry.name, entry.load(), args[1:]
        return _check_name(args[0], self.list_commands(ctx))


def run(app: typer.Typer) -> int:
    """Run the command that ``sys.argv`` asks for; its exit code. ``ValueError`` in one sentence for what cannot be."""
    command = typer.main.get_command(app)
    try:
        code = command.main(prog_name="nni-earlyexit", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        said = mistake(error)
        if said is None:
            raise
        raise ValueError(said) from None
    return code if isinstance(code, int) else 0


def mistake(error: Exception) -> str | None:
    """The sentence on a mistake on the command line; ``None`` for an error of another kind."""
    format_message: Callable[[], str] | None = getattr(error, "format_message", None)
    if format_message is None:
        return None
    parameter = getattr(error, "param", None)
    name, option = _name(parameter) if parameter is not None else "", getattr(error, "option_name", "")
    if type(error).__name__ == "NoSuchOption":
        near = getattr(error, "possibilities", None) or ()
        hint = f"; did you mean {' or '.join(map(repr, sorted(near)))}?" if near else "; --help lists what is"
        return f"{option}: there is no such option{hint}"
    if type(error).__name__ == "MissingParameter" and name:
        help = getattr(parameter, "help", None)
        return f"{name}: it is missing{f'; {help}' if help else ''}"
    if type(error).__name__ == "BadOptionUsage":
        return f"{option}: it needs a value"
    if name:
        message = str(getattr(error, "message", error)).rstrip(".")
        return f"{name}: {message}"
    said = format_message().rstrip(".")
    if extra := re.match(r"Got unexpected extra argument\S* \((.*)\)$", said, re.DOTALL):
        command = getattr(getattr(error, "ctx", None), "info_name", "command")
        return f"{command}: {extra[1]!r} is too much; --help lists what it takes"
    return "command: it is missing; --help lists what there is" if said == "Missing command" else said


def _name(parameter: Any) -> str:
    """The name of an option, with dashes, or of an argument."""
    options = [word for word in parameter.opts if word.startswith("--")]
    return options[0] if options else str(parameter.name)
