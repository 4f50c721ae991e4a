"""``nni-earlyexit train``: one network of a space, trained from scratch and judged at each exit; or some of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from nni_earlyexit.cli import again
from nni_earlyexit.cli.options import AllowSpace, AsCsv, AsJson, takes
from nni_earlyexit.cli.output import print_rows, progress
from nni_earlyexit.space.identity import of_words
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.checks import check_writable

MOST_CLASSES = 20
"""Most classes that a table is printed of."""


@takes({"Settings": Settings})
def command(
    space: Annotated[
        list[str],
        typer.Argument(
            metavar="SPACE",
            help="name of the space and its arguments, such as: mobilenetv3 resolution=224 num_classes=100; with --pick, "
            "the ID or folder of an experiment",
        ),
    ],
    sample: Annotated[
        str | None, typer.Option(help="largest, smallest, random, a JSON file or the folder of a trial (largest)")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FOLDER", help="folder of the trained network")] = None,
    pick: Annotated[str | None, typer.Option(help=again.PICK)] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="with --pick: folder for the front that they are on (results)")
    ] = None,
    allow_space: AllowSpace = [],  # noqa: B006  Typer copies it
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    **given: Any,
) -> int:
    """Train one network of a space, and judge each of its exits; with --pick, networks of an experiment.

    Example: nni-earlyexit train digits --sample largest --epochs 12 --output network
    """
    say = progress(as_json, as_csv)
    if pick is not None:
        for name, value in (("sample", sample), ("output", output), ("json", as_json or None), ("csv", as_csv or None)):
            if value is not None:
                raise ValueError(
                    f"{name}: it has no place beside pick, which says what is trained, and where it stands"
                )
        return again.train(" ".join(space), pick, results or Path("results"), allow_space, given, further=False)
    for name, asked in (("results", results), ("allow_space", allow_space)):
        if asked:
            raise ValueError(f"{name}: it is for networks of an experiment, which pick names; leave it out")
    if output is None:
        raise ValueError("output: it is missing; give the folder of the trained network")
    settings = Settings.from_options(**given)
    check_writable(output, "output")

    from nni_earlyexit.evaluation.one_network import choose_sample, train_one
    from nni_earlyexit.evaluation.space_for_data import space_for_data

    made = space_for_data(of_words(space), settings.data)
    say(made.identity())
    chosen = choose_sample(made, sample or "largest", settings.training.seed)
    say(made.describe(chosen))
    result = train_one(made, chosen, settings, output, say, bar=again.bar())
    if as_json or as_csv:
        print_rows(result.rows(), as_json)
    say(result.table())
    if result.network.num_classes <= MOST_CLASSES:
        say(result.class_table())
    say(f"{output}: EarlyExitNetwork.load({str(output)!r})")
    return 0
