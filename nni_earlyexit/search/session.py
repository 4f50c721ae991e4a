"""The session of a search: its trials, their samples and results, and the samples to try again after an interruption.

NNI's tuner and NNI's ``Strategy`` are shells around it. Trials are whatever a shell knows them by: numbers, or models.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nni_earlyexit.search.ask_tell import AskTell
from nni_earlyexit.search.domain import Sample, key
from nni_earlyexit.search.metrics import is_final

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Submitted:
    """A trial of an earlier run, which was interrupted.

    Attributes
    ----------
    number
        The manager's number of it.
    sample
        The sample that it was given, in canonical form.
    metrics
        Its final result, if it gave one.
    ended
        ``False`` when it runs again.
    canceled
        ``True`` when it was ended from outside, so that its network is to be tried again.
    damaged
        ``True`` when what it stored is damaged, so that its network is to be trained again. Its result counts until then.
    """

    number: int
    sample: Sample
    metrics: Any = None
    ended: bool = False
    canceled: bool = False
    damaged: bool = False


@dataclass(frozen=True)
class Settled:
    """The trials of an earlier run that gave a result which was new, and those that run again."""

    taken: list[Submitted]
    running: list[Submitted]


class Session:
    """The books of a search with ``strategy``, which is started apart."""

    def __init__(self, strategy: AskTell) -> None:
        self.strategy = strategy
        self.running: dict[Hashable, Sample] = {}
        self._finished: set[Hashable] = set()
        self._again: list[Sample] = []  # asked for before an interruption, and never tried

    def ask(self) -> Sample:
        """The next sample: one that was interrupted, or the strategy's; raises ``Exhausted`` when there is none."""
        return self._again.pop(0) if self._again else self.strategy.ask()

    def start(self, trial: Hashable, sample: Sample) -> None:
        """Note that ``trial`` runs ``sample``."""
        self.running[trial] = sample

    def tell(self, trial: Hashable, metrics: Any) -> bool:
        """``True`` when ``metrics`` of ``trial`` could be told; otherwise the log says why not, and it fails when it ends.

        The last intermediate result of a trial that is stopped may come after its final one, and is then left out; and so it is
        where the network's result is known, of a trial before.
        """
        if not is_final(metrics) and trial in self._finished:
            return False
        if not is_final(metrics) and trial in self.running and self._is_known(self.running[trial]):
            return self.end(trial)
        if is_final(metrics):
            self._finished.add(trial)
        if not tell(self.strategy, metrics):
            return False
        self.running.pop(trial, None)
        return True

    def end(self, trial: Hashable, metrics: Any = None) -> bool:
        """Note that ``trial`` has ended. Without a result so far, it failed, or gave ``metrics`` before it was stopped.

        That does not take the place of a result that is known, of a trial whose network was trained again. Returns ``True``
        when it was news.
        """
        sample = self.running.pop(trial, None)
        if sample is None:
            return False
        if self._is_known(sample):
            self.strategy.pending.pop(key(sample), None)
        else:
            self.strategy.tell(sample, metrics)
        return True

    def take_in(self, sample: Sample, metrics: Any) -> bool:
        """``True`` when a result of an earlier run was new and could be told; what cannot be understood counts as failed."""
        if self._is_known(self._that_ran(sample, metrics)):
            return False
        if not tell(self.strategy, metrics):
            self.strategy.tell(sample, None)
            return False
        return True

    def settle(self, submitted: Iterable[Submitted]) -> Settled:
        """Learn, after an interruption, what trials gave meanwhile, which have failed and which run again.

        What was asked for and is not among them never reached a trial, or was canceled there: it is tried again. So is a
        network of which all that was stored is damaged, once.
        """
        taken, running, names = [], [], set()
        submitted = list(submitted)
        that_ran = [self._that_ran(trial.sample, trial.metrics) for trial in submitted]
        others = {
            key(sample)
            for sample, trial in zip(that_ran, submitted, strict=True)
            if not (trial.ended and trial.damaged)
        }
        for sample, trial in zip(that_ran, submitted, strict=True):
            name = key(sample)
            if trial.metrics is not None:
                if self.take_in(sample, trial.metrics):
                    taken.append(trial)
                if trial.ended and trial.damaged:
                    if name not in others:
                        self.strategy.pending[name] = sample
                    continue
            elif not trial.ended:
                self.strategy.pending[name] = sample
                running.append(trial)
            elif trial.canceled:
                continue  # tried again, unless its end was told when it came
            elif name not in self.strategy.trials:
                self.strategy.tell(sample, None)
            names.add(name)
        self._again = [sample for name, sample in self.strategy.pending.items() if name not in names]
        return Settled(taken, running)

    def _that_ran(self, sample: Sample, metrics: Any) -> Sample:
        """The sample of the result ``metrics``, for NNI may have swapped the parameters of two trials; else ``sample``."""
        own = metrics.get("sample") if isinstance(metrics, Mapping) else None
        try:
            self.strategy.domain.check(own or {})
            return self.strategy.domain.canonical(own or {})
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
            return sample

    def _is_known(self, sample: Sample) -> bool:
        """``True`` if a result of the network is known."""
        trial = self.strategy.trials.get(key(sample))
        return trial is not None and trial.losses is not None


def tell(strategy: AskTell, metrics: Any) -> bool:
    """``True`` when ``strategy`` could be told ``metrics``; otherwise the log says why not.

    Other processes report them: what cannot be understood must not end the search. The sample is the one that the trial says
    it ran: NNI may have swapped its parameters with those of another one.
    """
    try:
        strategy.tell(metrics["sample"], metrics)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        _logger.error("A trial reported %r, which lacks the metrics of EarlyExitEvaluator: %r", metrics, error)
        return False
    return True
