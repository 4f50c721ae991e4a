"""Where exits of found networks are, how deep they are and what they are made of; and where a static network is the better one.

    python benchmarks/where_exits.py LADDER.json [--row tuned] [--picture FILE.png]

``LADDER.json`` is that of a ladder in examples, or what ``benchmarks/ladder.py --keep`` has made of it. All networks count that
no other one of the same search beats on validation data, with the weights of the supernet; shares are of those networks. The
last table holds the most accurate network of each kind within some budgets, of all searches of its row.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.tables import aligned

BUDGETS = 8
"""Budgets of the last table, evenly spaced in the logarithm."""
KINDS = ("static", "constrained", "tuned")

Network = Mapping[str, Any]


def exits(network: Network) -> dict[int, list[str]]:
    """Layers and head of each branch by the stage that it follows."""
    parts = network["architecture"].split(" | ")
    found = {stage: re.search(r"\[(.*)\]", part) for stage, part in enumerate(parts)}
    return {stage: match[1].split() for stage, match in found.items() if match}


def networks(content: Mapping[str, Any], row: str) -> list[Network]:
    """The networks on the trade-offs of a row's searches; one that is there with several cutoffs counts once a search."""
    chosen = {}
    for number, search in enumerate(content["searches"]):
        if search["row"] == row:
            chosen |= {(number, network["architecture"]): network for network in search["trade_off"]}
    return list(chosen.values())


def shares(values: Sequence[Any]) -> dict[Any, float]:
    """Share of each value, the most frequent first."""
    return {value: count / len(values) for value, count in Counter(values).most_common()}


def positions_table(every: Sequence[Network]) -> str:
    """What branches there are after each stage."""
    branches = [exits(network) for network in every]
    lines = []
    for stage in sorted({stage for own in branches for stage in own}):
        own = [branch[stage] for branch in branches if stage in branch]
        depths = shares([len(layers) - 1 for layers in own])
        types = shares([layer for layers in own for layer in layers[:-1]])
        heads = shares([layers[-1] for layers in own])
        lines.append(
            [
                f"{stage}",
                f"{len(own) / len(every):.0%}",
                *(", ".join(f"{name} {share:.0%}" for name, share in part.items()) for part in (depths, types, heads)),
            ]
        )
    return aligned(["after stage", "networks", "layers of a branch", "their types", "heads"], lines)


def best_within(content: Mapping[str, Any], row: str, budget: float) -> float | None:
    """The highest validation accuracy of a row within ``budget`` average MACs."""
    own = [n for search in content["searches"] if search["row"] == row for n in search["trade_off"]]
    return max((network["accuracy"] for network in own if network["avg_macs"] <= budget), default=None)


def budgets(content: Mapping[str, Any]) -> list[float]:
    """Budgets from the cheapest to the most expensive network of the kinds that are compared."""
    costs = [n["avg_macs"] for s in content["searches"] if s["row"] in KINDS for n in s["trade_off"]]
    return np.geomspace(min(costs), max(costs), BUDGETS).tolist()


def kinds_table(content: Mapping[str, Any]) -> str:
    """The most accurate network of each kind by budget."""
    lines = []
    for budget in budgets(content):
        best = [best_within(content, row, budget) for row in KINDS]
        lines.append([format_macs(budget), *("" if value is None else f"{value:.2%}" for value in best)])
    return aligned(["average MACs within", *KINDS], lines)


def draw(content: Mapping[str, Any], row: str, path: Path) -> None:
    """Positions and depths by average MACs, layer types, and the trade-offs of the kinds."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    every = sorted(networks(content, row), key=lambda network: network["avg_macs"])
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    places, types, fronts = figure.subplots(1, 3)
    colours = colormaps["viridis"]
    stages = sorted({stage for network in every for stage in exits(network)})
    for stage in stages:
        own = [
            (network["avg_macs"] / 1e6, len(exits(network)[stage]) - 1) for network in every if stage in exits(network)
        ]
        macs, depths = np.array(own).T
        places.scatter(
            macs, np.full(len(macs), stage), c=depths, cmap=colours, vmin=0, vmax=3, s=70, marker="|", linewidths=3
        )
    for axes in (places, fronts):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    places.set(xlabel="average MACs (millions)", ylabel="exit after stage", yticks=stages)
    places.set_title(f"exits of the {len(every)} networks on the trade-offs", fontsize="medium")
    bar = figure.colorbar(places.collections[0], ax=places, ticks=range(4), location="bottom", shrink=0.7)
    bar.set_label("layers of the branch before its head")
    counts = {
        stage: shares([layer for network in every for layer in exits(network).get(stage, ["none"])[:-1]])
        for stage in stages
    }
    names = sorted({name for own in counts.values() for name in own})
    low = np.zeros(len(stages))
    for number, name in enumerate(names):
        heights = np.array([counts[stage].get(name, 0.0) for stage in stages])
        types.bar(
            [f"{stage}" for stage in stages], heights, bottom=low, label=name, color=colormaps["tab10"](number % 10)
        )
        low += heights
    types.set(xlabel="after stage", ylabel="share of the branches' layers")
    types.set_title("types of the layers", fontsize="medium")
    types.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3)
    for number, kind in enumerate(KINDS):
        at = [
            (budget, best_within(content, kind, budget))
            for budget in np.geomspace(*np.array(budgets(content))[[0, -1]], 200)
        ]
        line = [(budget / 1e6, 100 * value) for budget, value in at if value is not None]
        if line:
            fronts.plot(*zip(*line, strict=True), label=kind, color=colormaps["tab10"](number))
    fronts.set(xlabel="average MACs (millions)", ylabel="validation accuracy (%)")
    fronts.set_title("the most accurate network within a budget", fontsize="medium")
    fronts.grid(alpha=0.3)
    fronts.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="ladder.json")
    parser.add_argument("--row", default="tuned", help="the row whose exits are counted")
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    given = parser.parse_args()
    content = json.loads(given.results.read_text())
    every = networks(content, given.row)
    if not every:
        parser.error(f"row: {given.row!r} has no searched networks in {given.results}")
    print(f"{len(every)} networks on the trade-offs of the row {given.row!r}\n{positions_table(every)}\n")
    print(kinds_table(content))
    if given.picture:
        draw(content, given.row, given.picture)


if __name__ == "__main__":
    main()
