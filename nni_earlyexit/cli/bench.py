"""``nni-earlyexit bench``: measured speed of a bundle on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from nni_earlyexit.cli.export import check_installed
from nni_earlyexit.cli.options import Commands
from nni_earlyexit.utils.progress import say


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command line."""
    from nni_earlyexit.data.settings import DataSettings
    from nni_earlyexit.utils.options import add_options

    command = commands.add_parser(
        "bench", help="measure how fast a bundle is here, beside the same network without exits"
    )
    command.add_argument("bundle", type=Path, help="folder of the bundle")
    command.add_argument("--batch-sizes", default="1,8,64", help="inputs at a time (1,8,64)")
    command.add_argument("--inputs", type=int, default=1000, help="inputs of the test split that are answered (1000)")
    command.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    command.add_argument(
        "--experiment",
        help="ID or folder of the bundle's experiment, whose best static network of equal accuracy is measured too",
    )
    command.add_argument(
        "--latency-table",
        type=Path,
        help="file of 'nni-earlyexit latency' for the bundle's space: speed-up as it predicts it",
    )
    command.add_argument("--results", type=Path, default=Path("results"), help="folder for bench.json and bench.png")
    command.add_argument(
        "--allow-space", action="append", default=[], help="module of your own that the bundle may name"
    )
    command.description = (
        "Answers test inputs with the bundle in PyTorch and, where it was exported with --onnx, onnxruntime. Give the --data "
        "that the network was trained for. Example: nni-earlyexit bench bundle --data folder:PATH"
    )
    add_options(command, DataSettings)
    return command


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from nni_earlyexit.utils.checks import check_writable, whole_number

    for name in ("inputs", "threads"):
        whole_number(1)(name, getattr(arguments, name))
    sizes = [int(word) if word.strip().isdecimal() else 0 for word in arguments.batch_sizes.split(",")]
    if min(sizes) < 1:
        raise ValueError(f"batch_sizes: {arguments.batch_sizes!r} is not possible; numbers from 1, such as 1,8,64, are")
    check_writable(arguments.results, "results")

    from nni_earlyexit import search_spaces
    from nni_earlyexit.data.settings import DataSettings
    from nni_earlyexit.deploy.bench import bench
    from nni_earlyexit.deploy.export import test_data
    from nni_earlyexit.deploy.static_peer import static_peer
    from nni_earlyexit.report import bench_report
    from nni_earlyexit.runtime.bundle import Bundle
    from nni_earlyexit.runtime.onnx_predictor import segment_file
    from nni_earlyexit.utils.amounts import format_macs
    from nni_earlyexit.utils.files import write_json
    from nni_earlyexit.utils.options import build, options

    for name in arguments.allow_space:
        search_spaces.allow(name)
    bundle = Bundle.load(arguments.bundle)
    trained_on = bundle.fit().fitted_to["data"]
    if arguments.data == "digits" != trained_on:
        raise ValueError(f"data: the bundle is for {trained_on!r}; give its place with --data")
    if segment_file(0) in bundle.checksums:
        check_installed()
    settings = build(DataSettings, {o.name: getattr(arguments, o.name) for o in options(DataSettings)})
    x, y = test_data(bundle, settings, arguments.inputs)
    if len(x) < max(sizes):
        raise ValueError(f"batch_sizes: {max(sizes)} is not possible with {len(x)} test inputs")
    peer = None if arguments.experiment is None else static_peer(bundle, arguments.experiment, say)
    if peer is not None:
        say(f"{peer}; the bundle takes {format_macs(bundle.fit().test['avg_macs'])} on average")
    say(f"answers {len(x):,} test inputs with {', '.join(map(str, sizes))} at a time, {arguments.threads} threads")
    rows = bench(
        bundle,
        x,
        y,
        sizes,
        arguments.threads,
        peer=None if peer is None else peer.network(),
        latency_table=arguments.latency_table,
    )
    say(bench_report.table(rows))
    say(
        "speed-up: without exits (float32) / with them; of MACs: the same as MACs promise it; kept: the one / the other"
        + ("; equal static: the static network of equal accuracy, and its time / that with exits" if peer else "")
    )
    say(bench_report.accuracies(rows))
    if arguments.latency_table is not None:
        say(bench_report.prediction(rows) or "latency_table: it is of a CPU, PyTorch used the GPU")
    arguments.results.mkdir(parents=True, exist_ok=True)
    content = {"static_peer": None if peer is None else peer.to_dict(), "rows": [row.to_dict() for row in rows]}
    write_json(arguments.results / "bench.json", content)
    bench_report.draw(rows, arguments.results / "bench.png")
    say(f"wrote {arguments.results / 'bench.json'} and {arguments.results / 'bench.png'}")
    return 0
