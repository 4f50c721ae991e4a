"""``nni-earlyexit strategies``: the ways to search, and their arguments."""

from __future__ import annotations

from typing import Annotated

import typer
from nni_earlyexit.cli.options import AsCsv, AsJson
from nni_earlyexit.cli.output import print_rows, progress


def command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="STRATEGY", help="names of strategies (all)", show_default=False)
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the search strategies with their arguments, which are strategy_arguments in an experiment file.

    Example: nni-earlyexit strategies surrogate
    """
    from nni_earlyexit.report import strategy_table

    say = progress(as_json, as_csv)
    entries = strategy_table.entries(names or ())
    if as_json or as_csv:
        rows = [
            {"strategy": entry.name, "summary": entry.summary, "arguments": " ".join(map(str, entry.arguments))}
            for entry in entries
        ]
        print_rows(rows, as_json, [entry.to_dict() for entry in entries])
    else:
        say(strategy_table.text(entries))
