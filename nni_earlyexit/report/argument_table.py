"""Arguments of several things as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nni_earlyexit.utils.arguments import Argument
from nni_earlyexit.utils.tables import aligned

HEADS = ("of", "argument", "default", "meaning")


def argument_table(owners: Mapping[str, Sequence[Argument]]) -> str:
    """A line per argument of each owner; those that several owners all have alike come last, once."""
    common = common_arguments(list(owners.values()))
    rows = []
    for owner, arguments in {**owners, "every one": common}.items():
        own = [argument for argument in arguments if owner == "every one" or argument not in common]
        rows += [_cells("" if number else owner, argument) for number, argument in enumerate(own)]
    return aligned(HEADS, rows)


def common_arguments(owners: Sequence[Sequence[Argument]]) -> list[Argument]:
    """The arguments that all of several owners have, with the same default and meaning."""
    if len(owners) < 2:
        return []
    return [argument for argument in owners[0] if all(argument in arguments for arguments in owners)]


def _cells(owner: str, argument: Argument) -> list[str]:
    default = "it is needed" if argument.default is None else argument.default
    return [owner, argument.name, default, argument.meaning]
