"""How the commands end on bad input: one sentence on stderr, exit code 2."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

P = ParamSpec("P")


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes are ``ValueError``, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message.removeprefix("argument "))


def exits_with_one_sentence(command: Callable[P, None]) -> Callable[P, None]:
    """Turn what the library raises for bad input into one sentence and exit code 2. Other errors keep their traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and error.filename and error.strerror:
                sentence = f"{error.filename}: {error.strerror}"
            else:
                sentence = " ".join(str(error).split())
            print(f"nni-earlyexit: {sentence}", file=sys.stderr)
            sys.exit(2)

    return run
