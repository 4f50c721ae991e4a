"""The front as a picture."""

from __future__ import annotations

from pathlib import Path

from nni_earlyexit.evaluation.experiment_front import ExperimentFront
from nni_earlyexit.utils.files import write_whole

LABELS = {
    "avg_macs": "average MACs per input",
    "latency_s": "average seconds per input",
    "full_macs": "MACs of the last exit",
    "params": "parameters",
    "activation_bytes": "bytes of activations",
}
FULL = {"avg_macs": "full_macs", "latency_s": "full_latency_s"}
"""Averages, and the metric that says what they are when every input runs every layer and exit."""


def save(front: ExperimentFront, path: Path) -> None:
    """Write a PNG of accuracy against the first cost among the objectives.

    Every trial and the front are drawn by validation metrics, the front's networks by their test metrics, with a dotted line
    to what each costs when every input runs every layer and exit. Hollow ones are beaten there by another. Over average MACs,
    the static networks beside them are drawn too.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, PercentFormatter

    figure = Figure(figsize=(8, 5.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    members = front.members
    cost = next((name for name in front.objectives if name in LABELS), "avg_macs")
    feasible = [trial.metrics for trial in front.trials if trial.metrics["feasible"] and cost in trial.metrics]
    axes.scatter(
        [m[cost] for m in feasible],
        [m["accuracy"] for m in feasible],
        s=18,
        color="0.7",
        label=f"all {len(feasible)} networks (validation)",
    )
    axes.plot(
        [member.record.metrics[cost] for member in members],
        [member.record.metrics["accuracy"] for member in members],
        "-",
        color="0.5",
        drawstyle="steps-post",
        label="their front (validation)",
    )
    for i, member in enumerate(members if cost in FULL else ()):
        axes.plot(
            [member.test[cost], member.record.metrics[FULL[cost]]],
            [member.accuracy, member.accuracy],
            ":",
            marker="|",
            markevery=[1],
            color="C0",
            linewidth=1,
            label="to what they cost without leaving early" if i == 0 else None,
        )
    beaten = [other is not None for other in front.beaten_by]
    axes.scatter(
        [member.test[cost] for member in members],
        [member.accuracy for member in members],
        s=50,
        color=["none" if own else "C3" for own in beaten],
        edgecolors="C3",
        zorder=3,
        label="the front's networks (test" + ("; hollow: beaten)" if any(beaten) else ")"),
    )
    axes.scatter(
        [front.take.test[cost]],
        [front.take.accuracy],
        s=160,
        facecolors="none",
        edgecolors="black",
        zorder=4,
        label="the one to take (by validation)",
    )
    static = [own for own in front.static if own is not None] if cost == "avg_macs" else []
    if static:
        axes.scatter(
            [own.static.macs for own in static],
            [own.accuracy for own in static],
            s=40,
            marker="s",
            color="C2",
            zorder=3,
            label="the best without leaving early (test)",
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    # a few networks that failed to learn must not flatten the rest
    learned = sorted([m["accuracy"] for m in feasible])[len(feasible) // 10 :]
    shown = [*learned, *(member.accuracy for member in members), *(own.accuracy for own in static)]
    axes.set_ylim(min(shown) - 0.005, min(1.0, max(shown)) + 0.003)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.set_xlabel(LABELS[cost])
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png"))
