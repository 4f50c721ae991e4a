"""Notices where a bundle's promise no longer holds: inputs leave at other exits than when it was judged.

Accuracy cannot be seen without labels, but the exits can. A shift of the inputs shows there first.
"""

from __future__ import annotations

import threading
import warnings
from typing import NamedTuple

import numpy as np
from nni_earlyexit.runtime.bundle import Fitted
from nni_earlyexit.runtime.share_test import FALSE_ALARM, ShareTest
from nni_earlyexit.thresholds.policy import ExitPolicy
from numpy.typing import NDArray


class ShiftWarning(UserWarning):
    """Inputs leave at other exits than a bundle promises."""


class Shift(NamedTuple):
    """The exits under one policy.

    Attributes
    ----------
    promised, seen
        Share of the test inputs, and of the inputs since the watch began, that leave at each exit (exits,).
    inputs
        Inputs since the watch began.
    alarm
        ``True`` if the shares are proven to be others.
    """

    promised: tuple[float, ...]
    seen: tuple[float, ...]
    inputs: int
    alarm: bool


class Watch:
    """Compares the exits that inputs leave at with those of the test inputs, policy by policy. Threads may share one.

    Parameters
    ----------
    fitted
        The policies of a bundle, and how they were judged. Inputs under another policy are not watched.
    false_alarm
        Probability, at most, that a policy ever raises an alarm although its inputs are as the test inputs are.
    """

    def __init__(self, fitted: Fitted, false_alarm: float = FALSE_ALARM) -> None:
        self._false_alarm, self._lock = false_alarm, threading.Lock()
        inputs = fitted.test["inputs"]
        points = zip(fitted.family.front, fitted.family.test_shares, strict=True)
        self._counts = {fitted.family.policy_of(point): np.rint(shares * inputs) for point, shares in points}
        self._counts[fitted.policy] = np.rint(np.array(fitted.test["shares"]) * inputs)
        self._tests: dict[ExitPolicy, ShareTest] = {}

    def add(self, policy: ExitPolicy, exits: NDArray[np.integer]) -> None:
        """Count inputs that left at ``exits`` (inputs,) under ``policy``; the first alarm of a policy is a warning too."""
        counts = self._counts.get(policy)
        if counts is None or not len(exits):
            return
        with self._lock:
            if policy not in self._tests:
                self._tests[policy] = ShareTest(counts, self._false_alarm)
            raised = self._tests[policy].add(exits)
        if raised:
            shift = self.shift(policy)
            words = (" ".join(f"{share:.1%}" for share in shares) for shares in (shift.promised, shift.seen))
            promised, seen = words
            warnings.warn(
                f"shift: inputs leave at other exits ({seen} of {shift.inputs:,}) than when the bundle was judged "
                f"({promised}); its accuracy is not promised for them",
                ShiftWarning,
                stacklevel=3,
            )

    @property
    def alarm(self) -> bool:
        """``True`` if the shares of some policy are proven to be others."""
        with self._lock:
            return any(test.alarm for test in self._tests.values())

    def shift(self, policy: ExitPolicy) -> Shift:
        """The exits under ``policy``; ``ValueError`` for one that is not the bundle's."""
        if policy not in self._counts:
            raise ValueError(f"policy: {policy.cutoffs} is none of the bundle's, so nothing is promised of it")
        counts = self._counts[policy]
        with self._lock:
            test = self._tests.get(policy)
            seen, alarm = (np.zeros(len(counts)), False) if test is None else (test.seen, test.alarm)
        total = int(seen.sum())
        return Shift(tuple((counts / counts.sum()).tolist()), tuple((seen / max(total, 1)).tolist()), total, alarm)
