"""``nni-earlyexit data``: a data set looked through before it is used, and the cache of decoded images cleared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from nni_earlyexit.cli.lazy import HELP, Command, Sentences
from nni_earlyexit.cli.options import duration, number, takes
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils.amounts import format_bytes
from nni_earlyexit.utils.options import build
from nni_earlyexit.utils.progress import say
from nni_earlyexit.utils.tables import aligned

if TYPE_CHECKING:
    from nni_earlyexit.data.image_files import ImageFiles
    from nni_earlyexit.data.inspection import Findings
    from nni_earlyexit.data.raw import Raw
    from nni_earlyexit.data.splits import Data

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
    **given: Any,
) -> int:
    """Count, measure and look for what is broken or suspicious.

    Exit codes: 0 all is well; 1 something is suspicious; 2 the data cannot be used.

    Example: nni-earlyexit data check folder:PATH
    """
    from nni_earlyexit.data import images, inspection
    from nni_earlyexit.data.loading import read_raw
    from nni_earlyexit.data.registry import parse
    from nni_earlyexit.data.splits import cut

    settings = build(DataSettings, {"data": data, **given})
    source = parse(settings.source)
    files = source.module.listing(settings, source.path) if source.module.RESIZES else None
    if files is not None:
        _print_sizes(files)
    raw = read_raw(replace(settings, skip_unreadable=True), say)  # to name all of them
    for sentence in raw.unreadable:
        say(sentence)
    task = cut(settings.source, raw, settings, seed)
    if files is not None:
        files = images.readable(files, raw.unreadable)
    findings = inspection.inspect(raw, task, _names(files, raw))
    _print_counts(task, findings)
    _print_rates(files, raw, task)
    for sentence in findings.suspicious:
        say(f"suspicious: {sentence}")
    if raw.unreadable and not settings.skip_unreadable:
        raise images.unreadable_error(raw.unreadable)
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


def _print_sizes(files: ImageFiles) -> None:
    from nni_earlyexit.data.images import sizes

    headers = sizes(files)[:, 1:]
    middle = headers[headers.prod(axis=1).argsort()[len(headers) // 2]]
    least, typical, most = ("x".join(map(str, size)) for size in (headers.min(axis=0), middle, headers.max(axis=0)))
    say(f"{len(files):,} files, height x width {least}" + (f" to {most}, typically {typical}" if least != most else ""))


def _names(files: ImageFiles | None, raw: Raw) -> Callable[[int], str]:
    """Names of single inputs by their positions: paths, or the beginnings of sentences."""
    if files is not None:
        return files.path
    if raw.sentences is not None:
        return lambda position: repr((raw.sentences or ())[position][:60])
    return "input {}".format


def _print_counts(task: Data, findings: Findings) -> None:
    rows = [
        [name, *(f"{counts[number]:,}" for counts in findings.counts.values())]
        for number, name in enumerate(task.class_names)
    ]
    rows.append(["all", *(f"{counts.sum():,}" for counts in findings.counts.values())])
    say(f"inputs {'x'.join(map(str, task.input_shape))}, {task.num_classes} classes")
    say(aligned(["class", *findings.counts], rows))


def _print_rates(files: ImageFiles | None, raw: Raw, task: Data) -> None:
    from nni_earlyexit.data.inspection import rate
    from nni_earlyexit.data.streamed import FileInputs

    if files is not None:
        say(f"decoding: {rate(FileInputs(files, task.input_shape)):,.0f} images/s")
    if raw.inputs is not None and not raw.inputs.streams:
        say(f"{'from memory' if raw.inputs.sums is None else 'from the cache'}: {rate(raw.inputs):,.0f} inputs/s")
