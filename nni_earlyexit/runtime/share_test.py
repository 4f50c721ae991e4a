"""A sequential test of the exits that inputs leave at, beside those of a reference, with a false alarm for a whole life.

The counts of a reference give a range for the share of each exit (Chernoff's bound, all ranges together right with
probability 1 - false_alarm / 2). Against every set of shares within them the test bets that the shares are others: with the
counts S of n inputs since some start, and a Dirichlet prior with 1/2 for each exit, the capital is the ratio ::

    (probability of the inputs, averaged over the prior) / (largest probability of the inputs within the ranges)

It is 1 at the start and, for shares within the ranges, 1 on average at most at any time, so that it reaches
2 / false_alarm ever with probability false_alarm / 2 at most (Ville; Lindon and Malek, arXiv 2011.03567, have this test for
shares that are given). So one may look at it after every input, for ever.

A bet that has run for long takes long to notice a change. So a new one begins every so often, the k-th with the share
6 / (pi^2 k^2) of the capital; old ones but the first are given up, which can only lose.
"""

from __future__ import annotations

import math

import numpy as np
from nni_earlyexit.utils.checks import Check, is_number, whole_number
from numpy.typing import ArrayLike, NDArray

FALSE_ALARM = 0.01
PRIOR = 0.5
LOOK_EVERY = 32
"""Inputs after which the capital is looked at again, for that takes longer than a small segment."""
MOST_BETS = 32
"""Bets that run at the same time, the first one included."""
HALVINGS = 60
"""Steps of the bisection that finds a range."""

_lgamma = np.frompyfunc(math.lgamma, 1, 1)


class ShareTest:
    """Tests whether inputs leave at the exits as those of a reference did.

    Parameters
    ----------
    counts
        Inputs of the reference that left at each exit (exits,).
    false_alarm
        Probability, at most, that it ever raises an alarm although nothing is different.
    every
        Inputs after which a new bet begins.

    Attributes
    ----------
    alarm
        ``True`` from the moment on at which the shares are proven to be others.
    seen
        Inputs (exits,) that have left at each exit since the beginning.
    """

    def __init__(self, counts: ArrayLike, false_alarm: float = FALSE_ALARM, every: int = 500) -> None:
        Check("a fraction between 0 and 1", lambda v: is_number(v) and 0 < v < 1)("false_alarm", false_alarm)
        whole_number(1)("every", every)
        reference = np.asarray(counts, dtype=float)
        if reference.ndim != 1 or not len(reference) or (reference < 0).any() or not reference.sum():
            raise ValueError(
                f"counts: {counts!r} is not possible; the inputs that left at each exit, at least one, are"
            )
        self._least, self._most = _ranges(reference, false_alarm / 2)
        self._needed = math.log(2 / false_alarm)
        self._every, self._begun = every, 1
        self._counts = np.zeros((1, len(reference)))  # of each bet
        self._new = np.zeros(len(reference))  # since the last look
        self._stakes = np.array([math.log(6 / math.pi**2)])
        self.alarm = False

    @property
    def seen(self) -> NDArray[np.int64]:
        """As above."""
        return (self._counts[0] + self._new).astype(np.int64)

    def add(self, exits: NDArray[np.integer]) -> bool:
        """Count inputs that have left at ``exits`` (inputs,); ``True`` if that raises the alarm, once.

        The test looks at them when there are :data:`LOOK_EVERY` new ones.
        """
        self._new += np.bincount(exits, minlength=len(self._new))
        if self._new.sum() < LOOK_EVERY:
            return False
        self._counts = self._counts + self._new
        self._new[:] = 0
        raised = not self.alarm and self.evidence() >= self._needed
        self.alarm = self.alarm or raised
        if self._counts[-1].sum() >= self._every:
            self._begun += 1
            older = slice(2 if len(self._counts) == MOST_BETS else 1, None)
            self._counts = np.vstack([self._counts[:1], self._counts[older], np.zeros_like(self._counts[:1])])
            stake = math.log(6 / (math.pi * self._begun) ** 2)
            self._stakes = np.concatenate([self._stakes[:1], self._stakes[older], [stake]])
        return raised

    def evidence(self) -> float:
        """Logarithm of the capital of all bets, now."""
        gains = self._stakes + _log_marginal(self._counts) - _log_best(self._counts, self._least, self._most)
        return float(np.logaddexp.reduce(gains))


def _ranges(counts: NDArray[np.floating], error: float) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Least and largest share of each exit, all of them right with probability 1 - ``error`` at least."""
    total = counts.sum()
    shares, limit = counts / total, math.log(2 * len(counts) / error) / total

    def furthest(end: float) -> NDArray[np.floating]:
        near, far = shares.copy(), np.full_like(shares, end)
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            within = _divergence(shares, middle) <= limit
            near, far = np.where(within, middle, near), np.where(within, far, middle)
        return far

    return furthest(0.0), furthest(1.0)


def _divergence(p: NDArray[np.floating], q: NDArray[np.floating]) -> NDArray[np.floating]:
    """Kullback-Leibler divergence of coins that show heads with probability ``p`` from those with ``q``, between 0 and 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        heads = np.where(p > 0, p * np.log(p / q), 0.0)
        tails = np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - q)), 0.0)
    return heads + tails


def _log_marginal(counts: NDArray[np.floating]) -> NDArray[np.floating]:
    """Logarithm of the probability of inputs with these ``counts`` (bets, exits), averaged over the prior (bets,)."""
    exits = counts.shape[1]
    each = _lgamma(PRIOR + counts).sum(axis=1) - exits * math.lgamma(PRIOR)
    whole = _lgamma(exits * PRIOR + counts.sum(axis=1)) - math.lgamma(exits * PRIOR)
    marginal: NDArray[np.floating] = (each - whole).astype(float)
    return marginal


def _log_best(
    counts: NDArray[np.floating], least: NDArray[np.floating], most: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Logarithm of the largest probability of inputs with these ``counts`` (bets, exits) for shares within ranges (bets,).

    The best shares are those of the counts, all scaled by the same factor and then limited to the ranges. Their sum grows with
    the factor, straight between the factors at which a share comes to a limit of its range.
    """
    seen = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        bends = np.concatenate([least, most]) / np.tile(seen, 2)
    bends = np.sort(np.where(np.isfinite(bends), bends, 0.0), axis=1)
    sums = np.clip(bends[:, :, None] * seen[:, None], least, most).sum(axis=2)
    bets, after = np.arange(len(counts)), np.minimum((sums <= 1).sum(axis=1), sums.shape[1] - 1)
    before = np.maximum(after - 1, 0)
    step = sums[bets, after] - sums[bets, before]
    way = np.clip((1 - sums[bets, before]) / np.where(step > 0, step, 1), 0, 1)
    factor = bends[bets, before] + way * (bends[bets, after] - bends[bets, before])
    shares = np.clip(seen * factor[:, None], least, most)
    with np.errstate(divide="ignore", invalid="ignore"):
        best: NDArray[np.floating] = np.where(counts > 0, counts * np.log(shares), 0.0).sum(axis=1)
    return best
