"""``nni-earlyexit bench``: measured speed of a bundle on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from nni_earlyexit.cli.export import check_installed
from nni_earlyexit.cli.options import AllowSpace, AsCsv, AsJson, number, takes
from nni_earlyexit.cli.output import print_rows, progress
from nni_earlyexit.data.settings import DataSettings


@takes({"Data": DataSettings})
def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="folder of the bundle")],
    batch_sizes: Annotated[str, typer.Option(metavar="NUMBERS", help="inputs at a time")] = "1,8,64",
    inputs: Annotated[int, number("inputs of the test split that are answered")] = 1000,
    threads: Annotated[int, number("CPU threads")] = 1,
    experiment: Annotated[
        str | None,
        typer.Option(
            help="ID or folder of the bundle's experiment, whose best static network of equal accuracy is measured too"
        ),
    ] = None,
    latency_table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="file of 'nni-earlyexit latency' for the bundle's space: speed-up as it predicts it"
        ),
    ] = None,
    results: Annotated[Path, typer.Option(metavar="FOLDER", help="folder for bench.json and bench.png")] = Path(
        "results"
    ),
    allow_space: AllowSpace = [],  # noqa: B006  Typer copies it
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    **given: Any,
) -> None:
    """Measure how fast a bundle is here, beside the same network without exits.

    It answers test inputs in PyTorch and, where the bundle was exported with --onnx, onnxruntime. Give the --data that the
    network was trained for.

    Example: nni-earlyexit bench bundle --data folder:PATH
    """
    from nni_earlyexit.utils.checks import check_writable

    say = progress(as_json, as_csv)
    sizes = [int(word) if word.strip().isdecimal() else 0 for word in batch_sizes.split(",")]
    if min(sizes) < 1:
        raise ValueError(f"batch_sizes: {batch_sizes!r} is not possible; numbers from 1, such as 1,8,64, are")
    check_writable(results, "results")

    from nni_earlyexit import search_spaces
    from nni_earlyexit.deploy.bench import bench
    from nni_earlyexit.deploy.export import test_data
    from nni_earlyexit.deploy.static_peer import static_peer
    from nni_earlyexit.report import bench_report
    from nni_earlyexit.runtime.bundle import Bundle
    from nni_earlyexit.runtime.onnx_predictor import segment_file
    from nni_earlyexit.utils.amounts import format_macs
    from nni_earlyexit.utils.files import write_json
    from nni_earlyexit.utils.options import build
    from nni_earlyexit.utils.provenance import made_with

    for name in allow_space:
        search_spaces.allow(name)
    loaded = Bundle.load(bundle)
    trained_on = loaded.fit().fitted_to["data"]
    settings = build(DataSettings, given)
    if settings.source == "digits" != trained_on:
        raise ValueError(f"data: the bundle is for {trained_on!r}; give its place with --data")
    if segment_file(0) in loaded.checksums:
        check_installed()
    x, y = test_data(loaded, settings, inputs)
    if len(x) < max(sizes):
        raise ValueError(f"batch_sizes: {max(sizes)} is not possible with {len(x)} test inputs")
    peer = None if experiment is None else static_peer(loaded, experiment, say)
    if peer is not None:
        say(f"{peer}; the bundle takes {format_macs(loaded.fit().test['avg_macs'])} on average")
    say(f"answers {len(x):,} test inputs with {', '.join(map(str, sizes))} at a time, {threads} threads")
    rows = bench(
        loaded, x, y, sizes, threads, peer=None if peer is None else peer.network(), latency_table=latency_table
    )
    results.mkdir(parents=True, exist_ok=True)
    measured = [row.to_dict() for row in rows]
    content = {"static_peer": None if peer is None else peer.to_dict(), "rows": measured, "made_with": made_with()}
    write_json(results / "bench.json", content)
    bench_report.draw(rows, results / "bench.png")
    if as_json or as_csv:
        print_rows(measured, as_json, content)
    else:
        say(bench_report.table(rows))
        say(
            "speed-up: without exits (float32) / with them; of MACs: the same as MACs promise it; kept: the one / the other"
            + ("; equal static: the static network of equal accuracy, and its time / that with exits" if peer else "")
        )
        say(bench_report.accuracies(rows))
        if len(loaded.architecture.exit_costs) == 1:
            say("the bundle has no early exits: both sides are the same network, and 1.00 is what to expect")
    if latency_table is not None:
        say(bench_report.prediction(rows) or "latency_table: it is of a CPU, PyTorch used the GPU")
    say(f"wrote {results / 'bench.json'} and {results / 'bench.png'}")
