"""The command line of a trial: the settings, and what concerns its process."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nni_earlyexit.search.limits import Limits
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.amounts import parse_bytes, parse_duration
from nni_earlyexit.utils.errors import Parser, parsed_by
from nni_earlyexit.utils.options import add_options, build, options
from nni_earlyexit.utils.paths import expanded

MODULE = "nni_earlyexit.trial"


@dataclass(frozen=True)
class Arguments:
    """The arguments on a trial's command line.

    Attributes
    ----------
    settings
        Settings of training and judging the network.
    timeout_s
        Seconds after which the trial gives up.
    memory
        Bytes of memory above which the trial gives up.
    allow_spaces
        Modules of search spaces that parameters may name.
    start
        ``"warm"`` forks the trial from a process that has imported everything, ``"cold"`` does not; ``"auto"`` does where
        networks take weights that are there already, which is a matter of seconds.
    """

    settings: Settings
    timeout_s: float | None = None
    memory: float | None = None
    allow_spaces: tuple[str, ...] = ()
    start: str = "auto"

    @property
    def is_short(self) -> bool:
        """``True`` if starting Python and torch would be a good part of the trial."""
        training = self.settings.training
        takes = (training.weights is not None and not training.finetune) or training.bank is not None
        return self.start == "warm" or (self.start == "auto" and takes)


def parser(helps: bool = True) -> Parser:
    """The command line; it imports nothing heavy. Without ``helps``, ``--help`` is a mistake."""
    p = Parser(
        prog=f"python -m {MODULE}",
        description="The trial of an NNI experiment: trains and judges the network that NNI's parameters mean.",
        allow_abbrev=False,
        add_help=helps,
    )
    add_options(p, Settings)
    p.add_argument(
        "--trial-timeout", type=parsed_by(parse_duration), help="time after which the trial fails, such as 30m"
    )
    p.add_argument(
        "--trial-memory", type=parsed_by(parse_bytes), help="bytes of memory above which the trial fails, such as 8G"
    )
    p.add_argument(
        "--allow-space", action="append", default=[], help="module of your own that the search space file may name"
    )
    p.add_argument(
        "--start",
        choices=("auto", "warm", "cold"),
        default="auto",
        help="warm: fork trials from a process that has imported everything; auto: where networks take weights that are there",
    )
    return p


def parse(arguments: Sequence[str], helps: bool = True) -> Arguments:
    """The arguments on a command line; ``ValueError`` in one sentence when they cannot work.

    The data are not looked for: a path of theirs is one of the folder in which trials start.
    """
    values = vars(parser(helps).parse_args(arguments))
    timeout, memory = values.pop("trial_timeout"), values.pop("trial_memory")
    allowed, start = values.pop("allow_space"), values.pop("start")
    return Arguments(build(Settings, values, "settings"), timeout, memory, tuple(allowed), start)


def of_command(command: str) -> list[str] | None:
    """The arguments in a ``trialCommand``; ``None`` for the command of another program, or for none."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    return words[3:] if words[1:3] == ["-m", MODULE] else None


def limits_of(command: str) -> Limits | None:
    """The limits in a ``trialCommand``; ``None`` for the command of another program."""
    values = given(command)
    return None if values is None else build(Limits, {o.name: values[o.name] for o in options(Limits)})


def bank_of(command: str) -> Path | None:
    """The bank of branches in a ``trialCommand``, if it has one."""
    bank = (given(command) or {}).get("bank")
    return None if bank is None else expanded(bank)


def allowed_spaces(command: str) -> tuple[str, ...]:
    """The modules of search spaces that a ``trialCommand`` allows; none of a command that is not ours."""
    try:
        values, _ = parser(helps=False).parse_known_args(of_command(command) or [])
    except ValueError:
        return ()
    return tuple(values.allow_space)


def given(command: str) -> dict[str, Any] | None:
    """The options in a ``trialCommand`` by their names; ``None`` for the command of another program."""
    arguments = of_command(command)
    return None if arguments is None else vars(parser(helps=False).parse_args(arguments))
