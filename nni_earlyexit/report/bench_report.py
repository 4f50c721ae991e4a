"""Measured speed of a bundle as a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nni_earlyexit.utils.files import write_whole
from nni_earlyexit.utils.tables import aligned

if TYPE_CHECKING:
    from nni_earlyexit.deploy.bench import Row


def table(rows: Sequence[Row]) -> str:
    """The rows as text; times in milliseconds of a batch."""
    predicts = any(row.predicted is not None for row in rows)
    peers = any(row.peer is not None for row in rows)
    heads = [
        "engine",
        "batch",
        "p50 ms",
        "p95",
        "p99",
        "inputs/s",
        "without exits ms",
        "speed-up",
        "of MACs",
        *(["predicted"] if predicts else []),
        "kept",
        *(["equal static ms", "speed-up"] if peers else []),
        *(["mJ", "without"] if any(row.exits.joules is not None for row in rows) else []),
        "p50 ms by exit",
    ]
    lines = []
    for row in rows:
        energy = [f"{1e3 * own.joules:.2f}" for own in (row.exits, row.static) if own.joules is not None]
        line = [
            row.engine,
            str(row.batch_size),
            *(f"{1e3 * seconds:.3f}" for seconds in (row.exits.p50, row.exits.p95, row.exits.p99)),
            f"{row.batch_size / row.exits.p50:,.0f}",
            f"{1e3 * row.static.p50:.3f}",
            f"{row.speedup:.2f}",
            f"{row.promise:.2f}",
            *([f"{row.predicted.speedup:.2f}" if row.predicted is not None else "-"] if predicts else []),
            "-" if row.engine.endswith("int8") else f"{row.kept:.2f}",
            *([f"{1e3 * row.peer.p50:.3f}", f"{row.peer_speedup:.2f}"] if row.peer is not None else []),
            *energy,
            " ".join("-" if np.isnan(seconds) else f"{1e3 * seconds:.3f}" for seconds in row.by_exit)
            if row.batch_size == 1
            else "",
        ]
        lines.append(line)
    return aligned(heads, lines)


def accuracies(rows: Sequence[Row]) -> str:
    """Accuracy of each engine and way on the inputs that were answered with the first batch size, as text."""
    peers = any(row.peer is not None for row in rows)
    first = {row.engine: row for row in reversed(rows)}
    heads = ["right", "with exits", "without", *(["equal static"] if peers else [])]
    lines = [
        [row.engine, *(f"{way.accuracy:.2%}" for way in (row.exits, row.static, row.peer) if way is not None)]
        for row in reversed(first.values())
    ]
    return aligned(heads, lines)


def prediction(rows: Sequence[Row]) -> str:
    """A sentence on the mean seconds that a latency table predicts; nothing without one."""
    return "\n".join(
        f"mean ms of {row.batch_size} at a time in PyTorch: {1e3 * row.exits.mean:.3f} with exits, "
        f"{1e3 * row.predicted.seconds:.3f} predicted; {1e3 * row.static.mean:.3f} without, "
        f"{1e3 * row.predicted.static_seconds:.3f} predicted; speed-up {row.speedup:.2f}, {row.predicted.speedup:.2f} "
        f"predicted, {row.promise:.2f} of MACs"
        for row in rows
        if row.predicted is not None
    )


def draw(rows: Sequence[Row], path: Path) -> None:
    """Milliseconds of one input by the exit that it leaves at, and speed-ups beside what MACs promise."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.5 + 0.45 * max(6, len(rows))), layout="constrained")
    single = [row for row in rows if row.batch_size == 1]
    if single:
        left, right = figure.subplots(1, 2)
        _draw_exits(left, single)
    else:
        right = figure.subplots()
    places = np.arange(len(rows))
    peers = [row for row in rows if row.peer is not None]
    height = 0.4 if peers else 0.7
    right.barh(places - (height / 2 if peers else 0), [row.speedup for row in rows], height, label="with exits")
    if peers:
        ratios = [row.static.mean / row.peer.mean if row.peer is not None else 0 for row in rows]
        right.barh(places + height / 2, ratios, height, color="0.7", label="static network of equal accuracy")
    marks = [(row.promise, place) for row, place in zip(rows, places, strict=True) if not row.engine.endswith("int8")]
    right.plot(*zip(*marks, strict=True), "k|", markersize=16, markeredgewidth=2, label="with exits, by MACs")
    tabled = [
        (row.predicted.speedup, place) for row, place in zip(rows, places, strict=True) if row.predicted is not None
    ]
    if tabled:
        right.plot(*zip(*tabled, strict=True), "rd", label="with exits, by the latency table")
    right.axvline(1, color="0.3", linewidth=1)
    right.set_yticks(places, [f"{row.engine}, {row.batch_size} at a time" for row in rows])
    right.invert_yaxis()
    right.set_xlabel("times as fast as the network without exits (float32)")
    right.spines[["top", "right"]].set_visible(False)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=8, frameon=False)
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png", dpi=100))


def _draw_exits(axes: object, rows: Sequence[Row]) -> None:
    """Median milliseconds of one input by its exit; those of the network without exits as dashed lines."""
    from matplotlib.axes import Axes

    if not isinstance(axes, Axes):
        raise AssertionError("matplotlib gives axes")
    width = 0.8 / len(rows)
    for place, row in enumerate(rows):
        exits = np.arange(len(row.by_exit)) + (place - (len(rows) - 1) / 2) * width
        bars = axes.bar(exits, np.nan_to_num(1e3 * np.array(row.by_exit)), width, label=row.engine)
        if not row.engine.endswith("int8"):  # beside which is the same
            axes.axhline(1e3 * row.static.p50, color=bars[0].get_facecolor(), linestyle="--", linewidth=1)
    axes.plot([], [], color="0.4", linestyle="--", linewidth=1, label="without exits")
    axes.set_xticks(range(len(rows[0].by_exit)))
    axes.set_xlabel("exit that an input leaves at")
    axes.set_ylabel("ms of one input, median")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=8, frameon=False)
