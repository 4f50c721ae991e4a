"""The strategies: what each does, and its arguments."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nni_earlyexit import strategies
from nni_earlyexit.report.argument_table import argument_table
from nni_earlyexit.utils.arguments import Argument, arguments_of, summary
from nni_earlyexit.utils.tables import aligned

SAID_ELSEWHERE = ("objectives", "seed")
"""Arguments that stand in ``classArgs`` themselves, beside ``strategy_arguments``."""


@dataclass(frozen=True)
class StrategyEntry:
    """A strategy in one line, and what its ``strategy_arguments`` can be."""

    name: str
    summary: str
    arguments: tuple[Argument, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def entries(names: Sequence[str] = ()) -> list[StrategyEntry]:
    """The strategies called ``names``, or all; ``ValueError`` with the nearest names for an unknown one."""
    for name in names:
        strategies.check_name(name)
    every = []
    for name in names or strategies.names():
        strategy = importlib.import_module(f"{strategies.__name__}.{name}").Strategy
        arguments = arguments_of(strategy, *strategy.__mro__[:-1])
        kept = tuple(argument for argument in arguments if argument.name not in SAID_ELSEWHERE)
        every.append(StrategyEntry(name, summary(strategy), kept))
    return every


def text(entries: Sequence[StrategyEntry]) -> str:
    """Two tables: the strategies, and their arguments."""
    lines = aligned(("strategy", "in one line"), [[entry.name, entry.summary] for entry in entries])
    return f"{lines}\n\n{argument_table({entry.name: entry.arguments for entry in entries})}"
