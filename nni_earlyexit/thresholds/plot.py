"""The trade-off of a threshold optimizer as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nni_earlyexit.thresholds.policy_front import Front, TradeOff
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(
    front: Front,
    chosen: TradeOff,
    single_exit_costs: NDArray[np.floating],
    single_exit_accuracies: NDArray[np.floating],
    *,
    as_percent: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """The front, each exit (exits,) alone, and the chosen point; on ``ax`` or a new figure."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, PercentFormatter

    axes = Figure(figsize=(7, 4.5), layout="constrained").subplots() if ax is None else ax
    label = f"front of {len(front)} polic{'y' if len(front) == 1 else 'ies'}"
    axes.step(front.avg_cost, front.accuracy, where="post", color="C0", label=label)
    axes.scatter(
        single_exit_costs,
        single_exit_accuracies,
        marker="s",
        color="0.45",
        zorder=3,
        label="one exit for every input",
    )
    for exit, (cost, accuracy) in enumerate(zip(single_exit_costs, single_exit_accuracies, strict=True)):
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
    if as_percent and front.accuracy[0] >= 0 and front.accuracy[-1] <= 1:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("average cost of an input")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)
    return axes
