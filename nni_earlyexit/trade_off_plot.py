"""The trade-off of a threshold optimizer as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from nni_earlyexit.thresholds import ThresholdOptimizer


def draw(optimizer: ThresholdOptimizer, ax: Axes | None = None) -> Axes:
    """The front, what each exit gives alone, and the chosen point; on ``ax`` or a new figure."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, PercentFormatter

    axes = Figure(figsize=(7, 4.5), layout="constrained").subplots() if ax is None else ax
    front, chosen = optimizer.front_, optimizer.chosen_
    axes.step(front.avg_cost, front.accuracy, where="post", color="C0", label=f"front of {len(front)} policies")
    axes.scatter(
        optimizer.exit_costs_,
        optimizer.exit_accuracies_,
        marker="s",
        color="0.45",
        zorder=3,
        label="one exit for every input",
    )
    for exit, (cost, accuracy) in enumerate(zip(optimizer.exit_costs_, optimizer.exit_accuracies_, strict=True)):
        axes.annotate(f"exit {exit}", (cost, accuracy), (0, -7), textcoords="offset points", ha="center", va="top")
    axes.scatter(
        [chosen.avg_cost],
        [chosen.accuracy],
        s=90,
        marker="*",
        color="C3",
        zorder=4,
        label=f"chosen: {chosen.accuracy:.2%} at {EngFormatter(sep='', places=1)(chosen.avg_cost)}",
    )
    axes.margins(y=0.12)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if isinstance(optimizer.scoring, str) and front.accuracy[0] >= 0 and front.accuracy[-1] <= 1:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("average cost of an input")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    return axes
