"""``nni-earlyexit data``: a data set looked through before it is used, and the cache of decoded images cleared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nni_earlyexit.cli.lazy import HELP, Command, Sentences
from nni_earlyexit.cli.options import AsCsv, AsJson, duration, number, takes
from nni_earlyexit.cli.output import print_rows, progress
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils.amounts import format_bytes
from nni_earlyexit.utils.options import build
from nni_earlyexit.utils.progress import say
from nni_earlyexit.utils.tables import aligned

if TYPE_CHECKING:
    import numpy as np
    from nni_earlyexit.data.image_files import ImageFiles
    from nni_earlyexit.data.inspection import Findings
    from nni_earlyexit.data.raw import Raw
    from nni_earlyexit.data.splits import Data
    from numpy.typing import NDArray

SUSPICIOUS = 1
app = typer.Typer(cls=Sentences, rich_markup_mode="markdown", add_completion=False, context_settings=HELP)


@app.callback()
def _program() -> None:
    """Look through a data set, or clear the cache of decoded images."""


@app.command(cls=Command, context_settings=HELP)
@takes({"Reading": DataSettings}, without=("data",))
def check(
    data: Annotated[str, typer.Argument(metavar="DATA", help="the data set, such as cifar10 or folder:PATH")],
    seed: Annotated[int, number("of the splits", least=0)] = 0,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    **given: Any,
) -> int:
    """Count, measure and look for what is broken or suspicious.

    Exit codes: 0 all is well; 1 something is suspicious; 2 the data cannot be used.

    Example: nni-earlyexit data check folder:PATH
    """
    import numpy as np
    from nni_earlyexit.data import images, inspection
    from nni_earlyexit.data.loading import read_raw
    from nni_earlyexit.data.registry import parse
    from nni_earlyexit.data.splits import cut

    say = progress(as_json, as_csv)
    settings = build(DataSettings, {"data": data, **given})
    settings.check_there()
    source = parse(settings.source)
    files = source.module.listing(settings, source.path) if source.module.RESIZES else None
    if files is not None:
        headers = images.sizes(files)
        say(f"{len(files):,} files, {_sizes(headers[:, 1:])}")
        if settings.input_shape is None and (headers[:, 1:] != headers[0, 1:]).any():
            settings = replace(settings, input_shape=images.usual_shape(headers))
            say(f"looked at as {_by(settings.input_shape or ())}; --input-shape is another one")
    raw = read_raw(replace(settings, skip_unreadable=True), say)  # to name all of them
    for sentence in raw.unreadable.values():
        say(sentence)
    task = cut(settings.source, raw, settings, seed)
    if files is not None:
        files = files.without(np.array(list(raw.unreadable), dtype=np.intp))
    findings = inspection.inspect(raw, task, _names(files, raw))
    rows = _counts(task, findings)
    if as_json or as_csv:
        content = {"input_shape": list(task.input_shape), "classes": rows, "suspicious": list(findings.suspicious)}
        print_rows(rows, as_json, content)
    say(f"inputs {_by(task.input_shape)}, {task.num_classes} classes")
    say(_table(rows))
    for line in _rates(files, raw, task):
        say(line)
    for sentence in findings.suspicious:
        say(f"suspicious: {sentence}")
    if raw.unreadable and not settings.skip_unreadable:
        raise images.unreadable_error(list(raw.unreadable.values()))
    if not findings.suspicious:
        say("all is well")
    return SUSPICIOUS if findings.suspicious else 0


@app.command()
def clear(
    older_than: Annotated[
        float, typer.Option(metavar="TIME", parser=duration, help="only those not used for so long, such as 30d")
    ] = 0.0,
) -> None:
    """Remove decoded images from the cache; they are decoded again when needed.

    Example: nni-earlyexit data clear --older-than 30d
    """
    from nni_earlyexit.data import cache

    number, freed = cache.clear(older_than)
    say(f"{number} data sets removed from {cache.folder()}, {format_bytes(freed)} freed")


def _sizes(sides: NDArray[np.int64]) -> str:
    """Heights and widths (images, 2) in words."""
    middle = sides[sides.prod(axis=1).argsort()[len(sides) // 2]]
    least, typical, most = (_by(size.tolist()) for size in (sides.min(axis=0), middle, sides.max(axis=0)))
    return f"height x width {least}" + (f" to {most}, typically {typical}" if least != most else "")


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _names(files: ImageFiles | None, raw: Raw) -> Callable[[int], str]:
    """Names of single inputs by their positions: paths, or the beginnings of sentences."""
    if files is not None:
        return files.path
    if raw.sentences is not None:
        return lambda position: repr((raw.sentences or ())[position][:60])
    return "input {}".format


def _counts(task: Data, findings: Findings) -> list[dict[str, Any]]:
    """Inputs of each class in each split, and of all classes."""
    rows = [
        {"class": name, **{part: int(counts[number]) for part, counts in findings.counts.items()}}
        for number, name in enumerate(task.class_names)
    ]
    return [*rows, {"class": "all", **{part: int(counts.sum()) for part, counts in findings.counts.items()}}]


def _table(rows: list[dict[str, Any]]) -> str:
    return aligned(
        list(rows[0]), [[cell if isinstance(cell, str) else f"{cell:,}" for cell in row.values()] for row in rows]
    )


def _rates(files: ImageFiles | None, raw: Raw, task: Data) -> Iterator[str]:
    from nni_earlyexit.data.inspection import rate
    from nni_earlyexit.data.streamed import FileInputs

    if files is not None:
        yield f"decoding: {rate(FileInputs(files, task.input_shape)):,.0f} images/s"
    if raw.inputs is not None and not raw.inputs.streams:
        yield f"{'from memory' if raw.inputs.sums is None else 'from the cache'}: {rate(raw.inputs):,.0f} inputs/s"
