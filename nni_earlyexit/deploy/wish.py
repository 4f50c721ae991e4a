"""The network of a search that a user wants, said in words: ``max accuracy, avg_macs <= 2.5M``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from nni_earlyexit.search.metrics import FRONT
from nni_earlyexit.search.objectives import DIRECTIONS
from nni_earlyexit.utils.amounts import format_amount, parse_amount
from nni_earlyexit.utils.checks import unknown

if TYPE_CHECKING:  # the command line shows what is below, and starts without torch
    from nni_earlyexit.evaluation.record import Record
    from nni_earlyexit.training.settings import Settings

EXAMPLE = "max accuracy, avg_macs <= 2.5M"
_OBJECTIVE = re.compile(r"(max|min)\s+(\w+)")
_LIMIT = re.compile(r"(\w+)\s*(<=|>=)\s*(\S+)")


@dataclass(frozen=True)
class Wish:
    """The metric that should be best, and limits.

    Attributes
    ----------
    best
        The metric that should be best; its direction is that in which it usually is.
    limits
        The worst value of metrics, from which on they are good enough.
    """

    best: str
    limits: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> Wish | None:
        """The wish in ``text``; ``None`` if it is a name of a network, and ``ValueError`` for half a wish."""
        parts = [part.strip() for part in text.split(",")]
        objective = _OBJECTIVE.fullmatch(parts[0])
        if objective is None:
            if any(_LIMIT.fullmatch(part) for part in parts):
                raise ValueError(f"pick: {text!r} does not begin with what should be best; an example is {EXAMPLE!r}")
            return None
        direction, best = objective.groups()
        _check(best, direction)
        limits = {}
        for part in parts[1:]:
            limit = _LIMIT.fullmatch(part)
            if limit is None:
                raise ValueError(f"pick: {part!r} is not possible; an example is {EXAMPLE!r}")
            name, sign, value = limit.groups()
            _check(name, "min" if sign == "<=" else "max")
            try:
                limits[name] = float(value[:-1]) / 100 if value.endswith("%") else parse_amount(value)
            except ValueError as error:
                raise ValueError(f"pick: {error}") from None
        return cls(best, limits)

    def pick(self, trials: Iterable[Record]) -> Record:
        """The trial with the best network by validation data, at some point of its trade-off within the limits.

        ``ValueError`` that says how near one comes where none is within them.
        """
        best, chosen, nearest, candidates = np.inf, None, dict[str, float](), 0
        for trial in trials:
            columns = self._columns(trial)
            if not len(columns[self.best]):
                continue  # none of its points is within the limits of the search
            within = np.ones(len(next(iter(columns.values()))), dtype=bool)
            candidates += 1
            for name, limit in self.limits.items():
                losses = _losses(name, columns[name])
                nearest[name] = min(nearest.get(name, np.inf), float(losses.min()))
                bound = float(_losses(name, np.array(limit)))
                within &= losses <= bound + 1e-12 * abs(bound)
            own = np.where(within, _losses(self.best, columns[self.best]), np.inf).min()
            if own < best:
                best, chosen = own, trial
        if chosen is None:
            reached = ", ".join(f"{name} {format_amount(abs(value))}" for name, value in nearest.items())
            if not candidates:
                raise ValueError("pick: there is no finished trial within the limits of the search")
            raise ValueError(f"pick: no network is within the limits; the best of each is {reached}")
        return chosen

    def settings(self, settings: Settings) -> Settings:
        """``settings`` with the goal and the limit by which the cutoffs of the chosen network are fitted."""
        limits = replace(
            settings.limits,
            max_avg_macs=self.limits.get("avg_macs", settings.limits.max_avg_macs),
            max_latency_s=self.limits.get("latency_s", settings.limits.max_latency_s),
        )
        least = self.limits.get("accuracy", 0.0)
        # of averages the least that is accurate enough; of what is of the whole network, the most accurate point
        cheap = self.best in ("avg_macs", "latency_s") or (self.best != "accuracy" and "accuracy" in self.limits)
        goal = settings.goal.at(min_accuracy=least) if cheap else settings.goal.at(tolerance=0.0)
        return replace(settings, goal=goal, limits=limits)

    def _columns(self, trial: Record) -> dict[str, np.ndarray[Any, Any]]:
        """The metrics along the trade-off of a trial's network; what is of the whole network is the same everywhere."""
        front = {name: np.array(column, dtype=float) for name, column in trial.metrics[FRONT].items()}
        length = len(front["accuracy"])
        names = [self.best, *self.limits]
        for name in names:
            if name not in front and name not in trial.metrics:
                raise ValueError(f"pick: {name} is no metric of trial {trial.folder.name!r}")
        return {name: front[name] if name in front else np.full(length, float(trial.metrics[name])) for name in names}


def _losses(name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return -values if DIRECTIONS[name] == "max" else values


def _check(name: str, direction: str) -> None:
    if name not in DIRECTIONS:
        raise unknown("pick", name, list(DIRECTIONS))
    if DIRECTIONS[name] != direction:
        usual = "max ... or >=" if DIRECTIONS[name] == "max" else "min ... or <="
        raise ValueError(f"pick: of {name}, the other direction is better; write {usual}")
