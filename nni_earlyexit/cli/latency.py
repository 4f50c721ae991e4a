"""``nni-earlyexit latency``: a table of the seconds of a space's blocks on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from nni_earlyexit.cli.options import Space, number
from nni_earlyexit.space.identity import of_words
from nni_earlyexit.utils.checks import check_writable
from nni_earlyexit.utils.progress import say


def command(
    space: Space,
    output: Annotated[Path, typer.Option(metavar="FILE", help="the file to write, such as latency.json")],
    batch_size: Annotated[int, number("inputs at once")] = 1,
    threads: Annotated[int, number("CPU threads")] = 1,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16")] = "float32",
) -> None:
    """Measure a space's blocks on this machine, for latency as a cost.

    Example: nni-earlyexit latency mobilenetv3 halvings=5 --output latency.json
    """
    from nni_earlyexit import search_spaces
    from nni_earlyexit.space.latency_table import LatencyTable

    if output.is_dir():
        raise ValueError(
            f"output: {str(output)!r} is a folder; a file is wanted, such as {str(output / 'latency.json')!r}"
        )
    check_writable(output.parent, "output")
    table = LatencyTable.build(
        search_spaces.create(of_words(space)), batch_size=batch_size, threads=threads, dtype=dtype, say=say
    )
    table.save(output)
    say(f"{output}")
