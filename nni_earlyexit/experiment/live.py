"""The progress of an experiment as people see it: a live display in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from nni_earlyexit.evaluation.best_so_far import best_so_far
from nni_earlyexit.integration.rest import CANCELED_TRIAL, ENDED_TRIAL
from nni_earlyexit.search.metrics import comparable
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.progress import Say

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

QUIET_S = 60
"""Seconds after which a line is repeated where nothing is new, so that one sees that it goes on."""
MOST_ROWS = 8
"""Networks that the display shows."""


@dataclass(frozen=True)
class State:
    """An experiment at one moment.

    Attributes
    ----------
    trials
        The trials as :meth:`nni_earlyexit.experiment.manager.Manager.trials` gives them.
    most
        Trials that it may have; ``None`` for any number.
    left
        The time left, in words; empty where it is not known.
    epochs
        Epochs that each running trial has finished, by its ID, where it has reported any.
    """

    trials: Sequence[Mapping[str, Any]]
    most: int | None
    left: str = ""
    epochs: Mapping[str, int] = field(default_factory=dict)

    def with_status(self, *statuses: str) -> list[Mapping[str, Any]]:
        """The trials that NNI gives one of these statuses."""
        return [trial for trial in self.trials if trial["status"] in statuses]

    @property
    def metrics(self) -> dict[str, Mapping[str, Any]]:
        """The metrics of finished trials by their IDs."""
        done = self.with_status("SUCCEEDED")
        return {trial["trialJobId"]: comparable(trial["metrics"]) for trial in done if trial["metrics"] is not None}

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The metrics of the network with the largest ``default`` within the limits, if there is one."""
        feasible = [metrics for metrics in self.metrics.values() if metrics.get("feasible")]
        return max(feasible, key=lambda metrics: metrics["default"], default=None)

    @property
    def ended(self) -> int:
        """The number of trials that do not run any more."""
        return len(self.with_status(*ENDED_TRIAL))

    @property
    def counts(self) -> str:
        """Trials done, stopped and failed, and how many run, in words."""
        # NNI's local platform says of a trial that an assessor stopped that a user did
        stopped = len(self.with_status("EARLY_STOPPED", *CANCELED_TRIAL))
        failed = self.ended - len(self.metrics) - stopped
        parts = [f"{self.ended}{f'/{self.most}' if self.most else ''} trials"]
        parts += [f"{number} {what}" for number, what in ((stopped, "stopped"), (failed, "failed")) if number]
        return ", ".join(parts)


class Display(Protocol):
    """Shows an experiment."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def show(self, state: State) -> None:
        """Show the state of the experiment."""


@contextmanager
def display(say: Say, console: Console | None = None) -> Iterator[Display]:
    """A live display on ``console``, or lines with ``say`` where there is none."""
    if console is None:
        yield Lines(say)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=2) as live:
        yield Screen(live)


class Lines:
    """A line where something is new, or after a minute."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self._shown, self._shown_at = "", -float("inf")

    def show(self, state: State) -> None:
        """Say what is new."""
        best = state.best
        so_far = f"best so far {best['accuracy']:.4f} at {format_macs(best['avg_macs'])} average MACs" if best else ""
        news = ", ".join(filter(None, [state.counts, so_far]))
        now = time.monotonic()
        if news != self._shown or now - self._shown_at > QUIET_S:
            self.say(", ".join(filter(None, [news, state.left])))
            self._shown, self._shown_at = news, now


class Screen:
    """A bar, the trials that run, and the best networks so far, in place; lines go above."""

    def __init__(self, live: Any) -> None:
        self._live = live

    def say(self, line: str) -> None:
        """Print a line above the display."""
        self._live.console.print(line, markup=False, highlight=False)

    def show(self, state: State) -> None:
        """Draw the state."""
        self._live.update(drawn(state))


def drawn(state: State) -> RenderableType:
    """The display of a state."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    head.add_row(
        ProgressBar(total=state.most or max(len(state.trials), 1), completed=state.ended, width=30),
        Text(", ".join(filter(None, [state.counts, state.left]))),
    )
    running = ", ".join(
        f"{trial['trialJobId']}"
        + (f" (epoch {state.epochs[trial['trialJobId']]})" if trial["trialJobId"] in state.epochs else "")
        for trial in state.with_status("RUNNING")
    )
    parts: list[RenderableType] = [head]
    if running:
        parts.append(Text(f"running: {running}", style="dim"))
    best = best_so_far(state.metrics)
    if best.names:
        parts.append(Text(f"best networks so far (validation data), hypervolume {best.hypervolume:.4f}", style="bold"))
        table = Table(box=None, padding=(0, 2), header_style="dim")
        for name in ("trial", "accuracy", "avg MACs", "full MACs"):
            table.add_column(name, justify="left" if name == "trial" else "right")
        for name in _spread(best.names, MOST_ROWS):
            metrics = state.metrics[name]
            costs = (format_macs(metrics[cost]) for cost in ("avg_macs", "full_macs"))
            table.add_row(name, f"{metrics['accuracy']:.4f}", *costs)
        if len(best.names) > MOST_ROWS:
            table.caption = f"{MOST_ROWS} of {len(best.names)}, over the whole range of costs"
        parts.append(table)
    return Group(*parts)


def _spread(names: Sequence[str], most: int) -> list[str]:
    """At most so many names, evenly over all, both ends among them."""
    if len(names) <= most:
        return list(names)
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]
