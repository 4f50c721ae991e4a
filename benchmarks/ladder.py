"""Table and picture of the ladder from a static network to searched exits, from the results of the ladders in examples.

    python benchmarks/ladder.py LADDER.json [--picture FILE.png] [--keep benchmarks/results/NAME.json]

``--keep`` writes what table and picture need, which is small, to a file of which both can be made again.

Accuracy is that on test data of the most accurate policy within the target, as calibration data say; "mean +- half" is the mean
over the seeds with half its 95% interval (Student's t), with one seed half the interval of its accuracy (Wilson). "MACs at its
accuracy" are the fewest average MACs at which any network of a row, of the same seed and whatever its target, reaches what the
row ``constrained`` has within the target: both by calibration data, and the MACs then counted on test data.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.tables import aligned

PEER = "constrained"
"""The row that others are compared with."""

Result = Mapping[str, Any]


def mean(values: Sequence[float]) -> str:
    """Mean of percentages and half its interval."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):.2f} +- {half:.2f}"


def accuracy(own: Sequence[Result]) -> str:
    """Test accuracy of a row's results for one target, in percent."""
    if not own:
        return "none"
    values = [100 * result["test"]["accuracy"] for result in own]
    if len(values) == 1:
        low, high = own[0]["test"]["interval"]
        return f"{values[0]:.2f} +- {50 * (high - low):.2f}"
    return mean(values)


def points(results: Sequence[Result], row: str, seed: int) -> Iterator[Result]:
    """Judged policies of all networks of a row."""
    for result in results:
        if (result["row"], result["seed"]) == (row, seed):
            yield from result["trade_off"]


def small(result: Result) -> Result:
    """What table and picture need of ``result``; one that is small already stays."""
    if "test" not in result or "promised" in result:
        return result
    names = (
        "row",
        "target",
        "seed",
        "space",
        "architecture",
        "exit_costs",
        "full_macs",
        "exit_accuracies",
        "validation",
    )
    chosen = next(point for point in result["trade_off"] if point["policy"] == result["policy"])
    points = [{part: values(point[part]) for part in ("calibration", "test")} for point in result["trade_off"]]
    return {
        **{name: result[name] for name in names},
        "cutoffs": result["policy"]["cutoffs"],
        "test": {name: result["test"][name] for name in ("accuracy", "avg_macs", "interval", "shares")},
        "promised": values(chosen["calibration"]),
        "trade_off": points,
    }


def values(point: Result) -> dict[str, float]:
    """Accuracy and average MACs."""
    return {name: point[name] for name in ("accuracy", "avg_macs")}


def fewest(results: Sequence[Result], row: str, peer: Result) -> float | None:
    """The fewest MACs of a row at the accuracy of ``peer``, as a share of those of ``peer``."""
    reached = [
        p for p in points(results, row, peer["seed"]) if p["calibration"]["accuracy"] >= peer["promised"]["accuracy"]
    ]
    if not reached:
        return None
    cheapest = min(reached, key=lambda point: point["calibration"]["avg_macs"])
    return float(cheapest["test"]["avg_macs"] / peer["test"]["avg_macs"])


def table(results: Sequence[Result], target: float) -> str:
    """The rows for one target."""
    peers = [result for result in results if (result["row"], result["target"]) == (PEER, target)]
    lines = []
    for row in dict.fromkeys(result["row"] for result in results):
        own = [result for result in results if (result["row"], result["target"]) == (row, target)]
        pairs = [(result, peer) for result in own for peer in peers if result["seed"] == peer["seed"]]
        gains = [100 * (result["test"]["accuracy"] - peer["test"]["accuracy"]) for result, peer in pairs]
        shares = [share for peer in peers if (share := fewest(results, row, peer)) is not None]
        lines.append(
            [
                row,
                accuracy(own),
                format_macs(statistics.mean(r["test"]["avg_macs"] for r in own)) if own else "",
                format_macs(statistics.mean(r["full_macs"] for r in own)) if own else "",
                mean(gains) if gains and row != PEER else "",
                f"{mean([100 * share for share in shares])}%" if shares and row != PEER else "",
            ]
        )
    heads = ["row", "accuracy (%)", "average MACs", "full MACs", f"over {PEER} (points)", "MACs at its accuracy"]
    return f"within {format_macs(target)} average MACs\n{aligned(heads, lines)}"


def draw(results: Sequence[Result], path: Path) -> None:
    """Accuracy against average MACs on test data: a mark for the mean of each target, a faint one for each seed."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    rows = list(dict.fromkeys(result["row"] for result in results))
    for number, row in enumerate(rows):
        colour = colormaps["tab10"](number)
        own = [result for result in results if result["row"] == row]
        targets = sorted({result["target"] for result in own})
        groups = [[result["test"] for result in own if result["target"] == target] for target in targets]
        axes.plot(
            [statistics.mean(test["avg_macs"] for test in group) / 1e6 for group in groups],
            [100 * statistics.mean(test["accuracy"] for test in group) for group in groups],
            marker="os^Dv<>P*X"[number % 10],
            color=colour,
            label=row,
        )
        for group in groups:
            axes.scatter(
                [test["avg_macs"] / 1e6 for test in group],
                [100 * test["accuracy"] for test in group],
                color=colour,
                alpha=0.3,
                s=14,
            )
    axes.set_xlabel("average MACs of a test input (millions)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="ladder.json")
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    parser.add_argument("--keep", type=Path, help="small JSON file to write")
    arguments = parser.parse_args()
    content = json.loads(arguments.results.read_text())
    every = [small(result) for result in content["results"]]
    judged = [result for result in every if "test" in result]
    about = {name: value for name, value in content.items() if name not in ("results", "searches")}
    print(", ".join(f"{name}: {value}" for name, value in about.items()))
    for target in sorted({result["target"] for result in every}):
        print(f"\n{table(judged, target)}")
    if arguments.keep:
        arguments.keep.parent.mkdir(parents=True, exist_ok=True)
        arguments.keep.write_text(
            json.dumps({**about, "results": every, "searches": content.get("searches", [])}) + "\n"
        )
    if arguments.picture:
        draw(judged, arguments.picture)


if __name__ == "__main__":
    main()
