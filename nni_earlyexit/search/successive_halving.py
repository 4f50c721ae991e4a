"""Successive halving: training that is not worth its time ends early.

Asynchronous, and of the stopping kind: a trial is judged when it reaches a rung, by what those that came before it had
given there, and nobody waits for anybody (ASHA, arXiv 1810.05934; its stopping kind is that of Syne Tune). With several
objectives, trials are compared by non-dominated sorting, and within a front by crowding, as in MO-ASHA (arXiv 2106.12639).

It knows neither NNI nor networks: the same object serves NNI's assessor, NNI's ``NasExperiment``, a loop and a test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from nni_earlyexit.search.objectives import DEFAULT_OBJECTIVES, check_objectives, to_losses
from nni_earlyexit.utils.checks import check_known, whole_number
from nni_earlyexit.utils.options import check_options, option
from numpy.typing import NDArray

STATE_VERSION = 2


class Result(NamedTuple):
    """Result of a trial at a rung: its losses, ``None`` if they cannot be compared, and the excess over its limits."""

    losses: tuple[float, ...] | None
    excess: float


@dataclass
class SuccessiveHalving:
    """The rule for which trials go on training.

    Rungs lie at the epochs ``first_rung``, ``first_rung * factor``, ``first_rung * factor**2``, ... before the last epoch. A
    trial goes on from a rung when it is among the best ``1 / factor`` of those that have reached it, itself included, or
    when fewer than ``factor`` have.

    Parameters
    ----------
    epochs
        Epochs of a trial that is not stopped.
    objectives
        Metric names with ``"max"`` or ``"min"``; accuracy up and average MACs down by default.
    first_rung
        Epoch after which trials are judged for the first time.
    factor
        Of ``factor`` trials that reach a rung, about one goes on.

    Attributes
    ----------
    rungs : dict of int to dict of str to Result
        Epoch of each rung with what the trials gave there, in the order in which they came.
    stopped : set of str
        The trials that were told not to go on.
    """

    epochs: int = option(12, "epochs of a trial that is not stopped", whole_number(2))
    objectives: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_OBJECTIVES))
    first_rung: int = option(1, "epoch after which trials are judged for the first time", whole_number(1))
    factor: int = option(3, "of so many trials that reach a rung, about one goes on", whole_number(2))

    @classmethod
    def parse(cls, arguments: Mapping[str, Any] | None) -> SuccessiveHalving:
        """An instance from the ``classArgs`` of an experiment file.

        Raises ``ValueError`` that names the field, the value and what is right.
        """
        if arguments is not None and not isinstance(arguments, Mapping):
            raise ValueError(f"classArgs: {arguments!r} is not possible; a mapping is")
        given = dict(arguments or {})
        check_known("classArgs", given, [f.name for f in fields(cls)])
        if "epochs" not in given:
            raise ValueError("classArgs: epochs is missing; it is that of the trialCommand")
        return cls(**given)

    def __post_init__(self) -> None:
        # sorted, so that losses mean the same in a state that was written with another order
        self.objectives = dict(sorted(check_objectives(self.objectives).items()))
        check_options(self)
        if self.first_rung >= self.epochs:
            raise ValueError(
                f"first_rung: {self.first_rung} is not possible; with {self.epochs} epochs, "
                f"a whole number from 1 to {self.epochs - 1} is"
            )
        self.start()

    def start(self) -> None:
        """Begin anew; everything known is forgotten."""
        self.rungs: dict[int, dict[str, Result]] = {}
        self.stopped: set[str] = set()
        rung = self.first_rung
        while rung < self.epochs:
            self.rungs[rung] = {}
            rung *= self.factor

    def check(self, epochs: int, latency_is_known: bool) -> None:
        """Raise ``ValueError`` unless trials of so many ``epochs`` can be judged."""
        if self.epochs != epochs:
            raise ValueError(f"epochs: {self.epochs} is not possible; trials have {epochs}")
        if "latency_s" in self.objectives and not latency_is_known:
            raise ValueError("objectives: latency_s needs a latency_table; 'nni-earlyexit latency' makes one")

    def report(self, trial: str, epoch: int, metrics: Mapping[str, Any]) -> bool:
        """``True`` if ``trial``, which gave ``metrics`` after ``epoch`` epochs, goes on.

        A result counts at the last rung that it has reached, so a trial may skip reports; and once only: a trial that
        trains again after an interruption is not judged again. Trials over a limit come after those within it, and those
        whose objectives are missing or not finite come last.
        """
        if trial in self.stopped:
            return False
        rung = max((rung for rung in self.rungs if rung <= epoch), default=None)
        # nothing is saved by stopping a trial that has just come to its end
        if rung is None or epoch >= self.epochs or trial in self.rungs[rung]:
            return True
        reached = self.rungs[rung]
        reached[trial] = self._result(metrics)
        if len(reached) < self.factor or places(list(reached.values()))[-1] < len(reached) // self.factor:
            return True
        self.stopped.add(trial)
        return False

    def state_dict(self) -> dict[str, Any]:
        """All that is known, as plain JSON."""
        return {
            "version": STATE_VERSION,
            **{f.name: getattr(self, f.name) for f in fields(self)},
            **self.changes_since({}),
        }

    @property
    def mark(self) -> dict[int, int]:
        """A mark of the state as it is: how many trials have reached each rung."""
        return {rung: len(reached) for rung, reached in self.rungs.items()}

    def changes_since(self, mark: Mapping[int, int]) -> dict[str, Any]:
        """Changes of the state at ``mark``: ``trials`` that come behind its own.

        Each has its rung, its name, losses, excess, and whether it was stopped.
        """
        return {
            "trials": [
                [rung, trial, result.losses, result.excess, trial in self.stopped]
                for rung, reached in self.rungs.items()
                for trial, result in islice(reached.items(), mark.get(rung, 0), None)
            ]
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; ``ValueError`` for that of another version or of other arguments."""
        here = self.state_dict()
        for name in ("version", *(f.name for f in fields(self))):
            if name not in state or state[name] != here[name]:
                raise ValueError(f"state: {name} is {state.get(name)!r}, not {here[name]!r}")
        rungs: dict[int, dict[str, Result]] = {rung: {} for rung in self.rungs}
        stopped = set()
        for rung, trial, losses, excess, ended in state["trials"]:
            rungs[rung][trial] = Result(None if losses is None else tuple(losses), excess)
            if ended:
                stopped.add(trial)
        self.rungs, self.stopped = rungs, stopped

    def _result(self, metrics: Mapping[str, Any]) -> Result:
        try:
            losses = tuple(to_losses(metrics, self.objectives))
            excess = float(metrics.get("excess", 0))
        except (LookupError, TypeError, ValueError, ArithmeticError):
            return Result(None, 0)
        return Result(losses, excess) if all(map(math.isfinite, (*losses, excess))) else Result(None, 0)


def places(results: list[Result]) -> NDArray[np.intp]:
    """Number of the ``results`` that are better than each of them (results,).

    Equal ones have the same place, whatever their order: a trial is not stopped for giving what another one gave before.
    """
    # pymoo takes a moment, which NNI's assessor process does not have when it starts
    from pymoo.operators.survival.rank_and_crowding.metrics import get_crowding_function
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    order = np.full((len(results), 2), np.inf)  # smaller is better, the second column where the first is equal
    within = [i for i, result in enumerate(results) if result.losses is not None and result.excess <= 0]
    for i, result in enumerate(results):
        if result.losses is not None and result.excess > 0:
            order[i, 1] = result.excess
    if within:
        points, which = np.unique([results[i].losses for i in within], axis=0, return_inverse=True)
        of_points = np.empty((len(points), 2))
        for rank, front in enumerate(NonDominatedSorting().do(points)):
            of_points[front, 0] = rank
            of_points[front, 1] = -get_crowding_function("cd").do(points[front])
        order[within] = of_points[which.reshape(-1)]
    _, which, counts = np.unique(order, axis=0, return_inverse=True, return_counts=True)
    better: NDArray[np.intp] = np.cumsum(counts) - counts
    return better[which.reshape(-1)]
