"""Measured speed of a bundle as a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nni_earlyexit.utils.tables import aligned

if TYPE_CHECKING:
    from nni_earlyexit.deploy.bench import Row


def table(rows: Sequence[Row]) -> str:
    """The rows as text; times in milliseconds of a batch."""
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
        "kept",
        *(["mJ", "without"] if any(row.joules is not None for row in rows) else []),
        "p50 ms by exit",
    ]
    lines = []
    for row in rows:
        energy = [f"{1e3 * joules:.2f}" for joules in (row.joules, row.static_joules) if joules is not None]
        lines.append(
            [
                row.engine,
                str(row.batch_size),
                *(f"{1e3 * seconds:.3f}" for seconds in (row.seconds, row.p95, row.p99)),
                f"{row.batch_size / row.seconds:,.0f}",
                f"{1e3 * row.static_seconds:.3f}",
                f"{row.speedup:.2f}",
                f"{row.promise:.2f}",
                "-" if row.engine.endswith("int8") else f"{row.kept:.2f}",
                *energy,
                " ".join("-" if np.isnan(seconds) else f"{1e3 * seconds:.3f}" for seconds in row.by_exit)
                if row.batch_size == 1
                else "",
            ]
        )
    return aligned(heads, lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Milliseconds of one input by the exit that it leaves at, and speed-ups beside what MACs promise."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    single = [row for row in rows if row.batch_size == 1]
    for place, row in enumerate(single):
        exits = np.arange(len(row.by_exit))
        width = 0.8 / len(single)
        bars = left.bar(
            exits + (place - (len(single) - 1) / 2) * width,
            np.nan_to_num(1e3 * np.array(row.by_exit)),
            width,
            label=row.engine,
        )
        left.axhline(1e3 * row.static_seconds, color=bars[0].get_facecolor(), linestyle="--", linewidth=1)
    left.set_xticks(range(max(len(row.by_exit) for row in rows)))
    left.set_xlabel("exit that an input leaves at")
    left.set_ylabel("ms for one input, median (dashed: without exits)")
    if single:
        left.legend()
    names = [f"{row.engine}\nbatch {row.batch_size}" for row in rows]
    right.barh(np.arange(len(rows)), [row.speedup for row in rows], label="measured")
    right.plot([row.promise for row in rows], np.arange(len(rows)), "k|", markersize=14, label="promised by MACs")
    right.set_yticks(np.arange(len(rows)), names, fontsize=8)
    right.invert_yaxis()
    right.set_xlabel("times as fast as without exits")
    right.legend()
    figure.savefig(path, dpi=120)
