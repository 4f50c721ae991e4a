"""Ask-and-tell: the interface of every strategy.

A strategy proposes samples and is told what they gave. It knows neither NNI nor networks: the same object serves NNI's
tuner, NNI's ``NasExperiment``, a loop and a test. Nothing waits: any number of samples may be out at once. All that it
knows is plain JSON (:meth:`AskTell.state_dict`), from which it goes on exactly as it would have.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nni_earlyexit.search import feasible_walk
from nni_earlyexit.search.archive import Archive
from nni_earlyexit.search.domain import Domain, Sample, key
from nni_earlyexit.search.objectives import DEFAULT_OBJECTIVES, check_objectives, to_losses
from nni_earlyexit.search.trials import Trial
from nni_earlyexit.utils.checks import boolean, whole_number

STATE_VERSION = 3


class Exhausted(Exception):
    """No sample is left to propose: all that may meet the limits have been asked for."""


class AskTell(ABC):
    """Base class of the strategies: no network is proposed twice, and none that cannot meet the limits.

    Parameters
    ----------
    objectives
        Metric names with ``"max"`` or ``"min"``; accuracy up and average MACs down by default.
    seed
        Fixes every random decision.
    initial
        Samples that are proposed first.
    whole_fronts
        ``True`` if a network counts with every point of its trade-off, not only with the one that its trial reported.
    """

    TRIES = 200
    """Random proposals before a network is looked for step by step."""

    def __init__(
        self,
        objectives: Mapping[str, str] | None = None,
        seed: int = 0,
        initial: Sequence[Mapping[str, Any]] = (),
        whole_fronts: bool = True,
    ) -> None:
        self.objectives = check_objectives(DEFAULT_OBJECTIVES if objectives is None else objectives)
        self.seed = seed
        if not isinstance(initial, Sequence) or not all(isinstance(sample, Mapping) for sample in initial):
            raise ValueError(f"initial: {initial!r} is not possible; a list of samples is")
        boolean()("whole_fronts", whole_fronts)
        whole_number(0)("seed", seed)
        self.initial = [dict(sample) for sample in initial]
        self.whole_fronts = whole_fronts
        self._domain: Domain | None = None
        self._forget()

    def _forget(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.trials: dict[str, Trial] = {}
        self.pending: dict[str, Sample] = {}
        self.archive = Archive(len(self.objectives))

    @property
    def domain(self) -> Domain:
        """The domain that is explored; ``RuntimeError`` before :meth:`start`."""
        if self._domain is None:
            raise RuntimeError(f"{type(self).__module__}: start(domain) comes first, then ask() and tell()")
        return self._domain

    def start(self, domain: Domain) -> None:
        """Begin to explore ``domain``; everything known is forgotten."""
        for sample in self.initial:
            try:
                domain.check(sample)
            except ValueError as error:
                raise ValueError(f"initial: {error}") from None
        self._domain = domain
        self._forget()

    def go_on(self) -> None:
        """Draw other random numbers than from the start, after results of an earlier run were told without its state.

        Otherwise the first proposals of that run would come again, among them those that it was interrupted in.
        """
        self.rng = np.random.default_rng((self.seed, len(self.trials)))

    def ask(self) -> Sample:
        """A sample that was never proposed before, in canonical form.

        Raises :class:`Exhausted` when there is none.
        """
        sample = self._next()
        self.pending[key(sample)] = sample
        return dict(sample)

    def tell(self, sample: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> None:
        """Take in the ``metrics`` of ``sample``; ``None`` when it failed. It need not have been asked for.

        ``metrics`` holds the objectives and, if the network misses a limit, ``excess`` > 0, and may hold the ``epochs`` of its
        training. In ``metrics["front"]`` may stand lists of equal length under the names of some objectives: the points of the
        network's whole trade-off.

        Raises ``ValueError`` for a sample that is not of the space and for metrics that lack an objective.
        """
        self.domain.check(sample)
        # the values of the space itself: on their way through JSON, 1.0 may have become 1
        own = {label: values[values.index(sample[label])] for label, values in self.domain.choices.items()}
        canonical = self.domain.canonical(own)
        trial = Trial(canonical, None, (), math.inf)
        if metrics is not None:
            missing = [name for name in self.objectives if name not in metrics]
            if missing:
                raise ValueError(f"metrics: {missing[0]!r} is missing; the objectives are {', '.join(self.objectives)}")
            epochs = metrics.get("epochs", 0)
            whole_number(0)("metrics: epochs", epochs)
            losses = tuple(to_losses(metrics, self.objectives))
            if all(map(math.isfinite, losses)):
                points = [losses, *self._front_points(metrics)] if self.whole_fronts else [losses]
                best = Archive(len(losses))
                best.add("", points)
                trial = Trial(
                    canonical,
                    losses,
                    tuple(map(tuple, best.points.tolist())),
                    float(metrics.get("excess", 0)),
                    epochs,
                )
        self.pending.pop(key(canonical), None)
        self._remember(trial)
        self.told(trial)

    def front(self) -> list[Trial]:
        """The trials within the limits with a point that none of another one beats, in the order of their results."""
        best = set(self.archive.owners)
        return [trial for name, trial in self.trials.items() if name in best]

    def state_dict(self) -> dict[str, Any]:
        """All that is known, as plain JSON."""
        return {
            "version": STATE_VERSION,
            "strategy": type(self).__module__,
            "space": self.domain.name,
            "choices": {label: list(values) for label, values in self.domain.choices.items()},
            "objectives": self.objectives,
            **self._state_with(list(self.trials.values())),
        }

    @property
    def mark(self) -> Trial | None:
        """A mark of the state as it is: the latest trial."""
        return next(reversed(self.trials.values()), None)

    def changes_since(self, mark: Trial | None) -> dict[str, Any] | None:
        """Changes of a state whose latest trial is ``mark``: ``trials`` come behind, all else takes the place of what was.

        ``None`` if there is no such trial any more, because its network was told again.
        """
        news: list[Trial] = []
        for trial in reversed(self.trials.values()):
            if trial is mark:
                break
            news.append(trial)
        else:
            if mark is not None:
                return None
        return self._state_with(news[::-1])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same strategy in the same space, after :meth:`start`.

        Raises ``ValueError`` for the state of another version, strategy, space, or other objectives, and for a sample that
        is not of the space.
        """
        here = self.state_dict()
        for name, what in (
            ("version", "version"),
            ("strategy", "strategy"),
            ("space", "space"),
            ("choices", "choices"),
            ("objectives", "objectives"),
        ):
            if name not in state or state[name] != here[name]:
                stored = state.get(name)
                differs = (
                    f"{stored!r}, not of {here[name]!r}" if name != "choices" else "others than those of the space"
                )
                raise ValueError(f"state: it is of {what} {differs}")
        self.start(self.domain)
        for sample in [*(trial[0] for trial in state["trials"]), *state["pending"]]:
            self.domain.check(sample)
        for sample, losses, points, excess, epochs in state["trials"]:
            self.trials.pop(key(sample), None)  # told again, it stands where it did before it was stored
            self.trials[key(sample)] = Trial(
                dict(sample),
                None if losses is None else tuple(losses),
                tuple(map(tuple, points)),
                math.inf if excess is None else excess,
                epochs,
            )
        self._fill_archive()
        self.pending = {key(sample): dict(sample) for sample in state["pending"]}
        self.load_own_state(state["own"])
        self.rng.bit_generator.state = state["rng"]

    # --- what a strategy defines -------------------------------------------------------------------------------------

    @abstractmethod
    def propose(self) -> Sample:
        """Propose any sample; :meth:`ask` asks again when it is known or misses a limit."""

    def told(self, trial: Trial) -> None:  # noqa: B027
        """Learn from a result; called with every one, in the order in which they come."""

    def own_state(self) -> Any:
        """Knowledge beside trials and pending samples that cannot be derived from them, as plain JSON."""
        return None

    def load_own_state(self, state: Any) -> None:  # noqa: B027
        """Take back the result of :meth:`own_state`; the trials are known already."""

    # --- what strategies are made of ---------------------------------------------------------------------------------

    def random_sample(self) -> Sample:
        """A sample with every choice drawn uniformly."""
        return {label: values[self.rng.integers(len(values))] for label, values in self.domain.choices.items()}

    def neighbours(self, sample: Sample) -> list[Sample]:
        """Canonical samples that differ in one choice, in random order."""
        return feasible_walk.neighbours(self.domain, sample, self.rng)

    def is_new(self, sample: Sample) -> bool:
        """``True`` if a canonical sample was neither proposed nor told."""
        return key(sample) not in self.trials and key(sample) not in self.pending

    def possible(self, proposed: Sample) -> Sample | None:
        """The canonical form of what may be asked for: valid, new and within the limits; ``None`` if it may not."""
        if not self.domain.valid(proposed):
            return None
        sample = self.domain.canonical(proposed)
        return sample if self.is_new(sample) and self.domain.excess(sample) <= 0 else None

    # ------------------------------------------------------------------------------------------------------------------

    def _state_with(self, trials: Sequence[Trial]) -> dict[str, Any]:
        """The part of the state that changes, with these of the trials."""
        return {
            "rng": self.rng.bit_generator.state,
            "trials": [
                [t.sample, t.losses, t.points, t.excess if math.isfinite(t.excess) else None, t.epochs] for t in trials
            ],
            "pending": list(self.pending.values()),
            "own": self.own_state(),
        }

    def _next(self) -> Sample:
        for sample in self.initial:
            candidate = self.possible(sample)
            if candidate is not None:
                return candidate
        for _ in range(self.TRIES):
            candidate = self.possible(self.propose())
            if candidate is not None:
                return candidate
        nearby = feasible_walk.nearest_new(self.domain, self._valid_sample, self.is_new, self.rng)
        if nearby is None:
            raise Exhausted("every network that may meet the limits has been proposed")
        return nearby

    def _front_points(self, metrics: Mapping[str, Any]) -> list[tuple[float, ...]]:
        """The losses of the points along a network's trade-off; what does not differ along it is that of the network."""
        front = metrics.get("front") or {}
        count = max((len(front[name]) for name in self.objectives if name in front), default=0)
        columns = {name: front.get(name, [metrics[name]] * count) for name in self.objectives}
        points = [
            tuple(to_losses(dict(zip(columns, values, strict=True)), self.objectives))
            for values in zip(*columns.values(), strict=True)
        ]
        return [point for point in points if all(map(math.isfinite, point))]

    def _remember(self, trial: Trial) -> None:
        name = key(trial.sample)
        previous = self.trials.pop(name, None)
        self.trials[name] = trial
        if previous is not None and previous.within:  # what it gave before may stand in the archive
            self._fill_archive()
        elif trial.within:
            self.archive.add(name, trial.points)

    def _fill_archive(self) -> None:
        self.archive = Archive(len(self.objectives))
        self.archive.add_all((name, trial.points) for name, trial in self.trials.items() if trial.within)

    def _valid_sample(self) -> Sample:
        """A sample that is proposed, or else drawn until the space's constraints are kept."""
        for draw in (self.propose, *[self.random_sample] * 10_000):
            sample = draw()
            if self.domain.valid(sample):
                return sample
        raise Exhausted("none of 10,000 random samples keeps the space's constraints")
