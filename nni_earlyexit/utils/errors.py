"""Ends of commands when something is wrong: one sentence on stderr, and an exit code that says whose fault it is."""

from __future__ import annotations

import argparse
import errno
import functools
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

BAD_INPUT, BAD_LUCK = 2, 1
"""Exit codes: what was asked for cannot work; or it could have, on another machine or at another time."""

INTERRUPTED = 130
"""Exit code that shells give a program that Ctrl-C ended."""

_ASKED_FOR = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)
_ASKED_FOR_BY_NUMBER = (errno.ENAMETOOLONG, errno.ELOOP)
"""Errors of the system that the input is to blame for: it names the wrong file."""


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes are ``ValueError``, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise ``ValueError`` with the message."""
        raise ValueError(message.removeprefix("argument "))


def parsed_by(parse: Callable[[str], T]) -> Callable[[str], T]:
    """``parse`` as argparse wants it: its ``ValueError`` names the option."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def exits_with_one_sentence(command: Callable[P, None]) -> Callable[P, None]:
    """Let ``command`` end with one sentence and an exit code where the library raises for bad input or the system fails.

    Bad input gives exit code 2; other errors of the system, such as a full disk or a manager that does not answer, and a
    training that diverges, exit code 1.
    Other errors keep their traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (ValueError, OSError, FloatingPointError) as error:
            print(f"nni-earlyexit: {sentence(error)}", file=sys.stderr)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    return run


def exit_code(error: Exception) -> int:
    """Exit code 2 for bad input, else 1."""
    asked_for = isinstance(error, (ValueError, *_ASKED_FOR)) or getattr(error, "errno", None) in _ASKED_FOR_BY_NUMBER
    return BAD_INPUT if asked_for else BAD_LUCK


def sentence(error: Exception) -> str:
    """The message of ``error``, in one line."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
