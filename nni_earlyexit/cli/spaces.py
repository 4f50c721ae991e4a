"""``nni-earlyexit spaces``: the search spaces with their size, costs and arguments."""

from __future__ import annotations

from typing import Annotated

import typer
from nni_earlyexit.cli.options import AsCsv, AsJson
from nni_earlyexit.cli.output import print_rows, progress


def command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="SPACE", help="names of spaces (all)", show_default=False)
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="make every space again, which takes half a minute, in place of stored numbers"),
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the search spaces with their size, costs and arguments.

    Costs are those of the cheapest and of the dearest network, all exits on the way included.

    Example: nni-earlyexit spaces mobilenetv3
    """
    from nni_earlyexit.report import space_table

    say = progress(as_json, as_csv)
    entries = list(space_table.entries(names or (), fresh))
    if as_json or as_csv:
        rows = [listing.values() for entry in entries for listing in entry.listings]
        print_rows(rows, as_json, [entry.to_dict() for entry in entries])
    else:
        say(space_table.text(entries))
