"""The way of a batch through a network's segments: inputs leave where the policy lets them, in the order that they came.

A segment is what runs from one exit to the next, with that exit's branch. Inputs that have left are taken out of the batch
where that is faster than to carry them along, by what the segments were measured to take on this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from nni_earlyexit.thresholds.confidence import softmax
from nni_earlyexit.thresholds.policy import ExitPolicy
from numpy.typing import NDArray

T = TypeVar("T")

REPEATS = 3
"""Measurements of a segment with one batch size, of which the shortest counts."""


class Segments(Protocol[T]):
    """The segments of a network, which hold their batches as ``T``."""

    @property
    def count(self) -> int:
        """Number of segments, which is that of the exits."""
        ...

    def begin(self, x: NDArray[Any]) -> T:
        """The batch ``x``, prepared, for the first segment."""
        ...

    def run(self, segment: int, x: T, *, with_exit: bool) -> tuple[T, NDArray[np.float32] | None]:
        """The output of a segment, and its exit's logits (inputs, classes) if ``with_exit``."""
        ...

    def take(self, x: T, inputs: NDArray[np.intp]) -> T:
        """Some inputs of a batch."""
        ...


class Prediction(NamedTuple):
    """The answers to a batch, in the order of its inputs.

    Attributes
    ----------
    classes
        Class of each input (inputs,).
    probabilities
        Probability of each class (inputs, classes), as the exit says it.
    exits
        Exit that each input left at (inputs,).
    macs
        MACs that each input has spent (inputs,); of those that are carried along, what they needed.
    """

    classes: NDArray[np.intp]
    probabilities: NDArray[np.float32]
    exits: NDArray[np.intp]
    macs: NDArray[np.floating]


@dataclass(frozen=True)
class Timings:
    """Seconds of the segments, measured.

    Attributes
    ----------
    sizes
        Batch sizes, ascending.
    run
        Seconds of each segment with each of them (segments, sizes).
    take
        Seconds that it takes to take inputs out of a batch before each segment (segments, sizes).
    """

    sizes: tuple[int, ...]
    run: NDArray[np.floating]
    take: NDArray[np.floating]

    def worth(self, segment: int, inputs: int, left: int) -> bool:
        """``True`` if ``left`` of ``inputs`` should be taken out before ``segment``."""
        if left * 2 <= inputs:
            return True  # whatever comes, it will pay
        row = self.run[segment]
        whole, part = (float(np.interp(size, self.sizes, row)) for size in (inputs, left))
        return part + float(np.interp(inputs, self.sizes, self.take[segment])) < whole


def measure(segments: Segments[T], x: NDArray[Any]) -> Timings:
    """Measure the segments with batches of ``x`` (inputs, ...) that grow twofold, and with all of it."""
    sizes = sorted({*(2**k for k in range(len(x).bit_length())), len(x)} - {0})
    run, take = np.zeros((segments.count, len(sizes))), np.zeros((segments.count, len(sizes)))
    for column, size in enumerate(sizes):
        batch = segments.begin(x[:size])
        half = np.arange(max(1, size // 2))
        for segment in range(segments.count):
            take[segment, column] = _shortest(partial(segments.take, batch, half))
            run[segment, column] = _shortest(partial(segments.run, segment, batch, with_exit=True))
            batch, _ = segments.run(segment, batch, with_exit=False)
    return Timings(tuple(sizes), np.maximum.accumulate(run, axis=1), take)


def _shortest(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


class Router(Generic[T]):
    """Sends batches through segments.

    Parameters
    ----------
    segments, classes
        The segments, and the number of classes that they tell apart.
    timings
        Their seconds; ``None`` takes out whatever has left.
    """

    def __init__(self, segments: Segments[T], classes: int, timings: Timings | None = None) -> None:
        self.segments, self.classes, self.timings = segments, classes, timings

    def __call__(self, x: NDArray[Any], policy: ExitPolicy, spent: NDArray[np.floating]) -> Prediction:
        """Answer the prepared batch ``x`` under ``policy``; ``spent`` is MACs to leave at each exit under it."""
        logits, exits = self._one(x, policy) if len(x) == 1 else self._many(x, policy)
        return Prediction(logits.argmax(axis=-1), softmax(logits), exits, spent[exits])

    def _one(self, x: NDArray[Any], policy: ExitPolicy) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """As :meth:`_many`, for one input, without what is only for many."""
        segments, kept = self.segments, policy.kept
        batch = segments.begin(x)
        so_far: list[NDArray[np.float32]] = []
        for segment in range(kept[-1]):
            batch, logits = segments.run(segment, batch, with_exit=segment in kept)
            if logits is not None:
                so_far = [*so_far, logits] if policy.looks_back else [logits]
                if policy.leaves(_together(so_far), segment)[0]:
                    return logits, np.array([segment])
        _, logits = segments.run(kept[-1], batch, with_exit=True)
        if logits is None:
            raise AssertionError("logits were asked for")
        return logits, np.array([kept[-1]])

    def _many(self, x: NDArray[Any], policy: ExitPolicy) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Logits (inputs, classes) of the exit that each input left at, and that exit (inputs,)."""
        segments, kept = self.segments, policy.kept
        exits = np.zeros(len(x), dtype=np.intp)
        answers: NDArray[np.float32] | None = None
        members = np.arange(len(x))  # inputs of the batch as it is now
        here = np.ones(len(x), dtype=bool)  # those of them that have not left
        so_far: list[NDArray[np.float32]] = []  # logits of the kept exits, as far as the policy looks back
        if not len(x):
            return np.zeros((0, self.classes), dtype=np.float32), exits
        batch = segments.begin(x)
        for segment in range(kept[-1] + 1):
            batch, logits = segments.run(segment, batch, with_exit=segment in kept)
            if logits is None:
                continue
            if answers is None:
                answers = np.zeros((len(x), logits.shape[1]), dtype=np.float32)
            so_far = [*so_far, logits] if policy.looks_back else [logits]
            leaves = here & policy.leaves(_together(so_far), segment)
            answers[members[leaves]] = logits[leaves]
            exits[members[leaves]] = segment
            here = here & ~leaves
            left = int(here.sum())
            if not left:
                break
            if left < len(members) and (self.timings is None or self.timings.worth(segment + 1, len(members), left)):
                places = np.flatnonzero(here)
                batch, members, here = segments.take(batch, places), members[places], here[places]
                so_far = [own[places] for own in so_far]
        if answers is None:
            raise AssertionError("the last exit takes every input")
        return answers, exits


def _together(logits: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Logits (inputs, exits, classes) from those of each exit (inputs, classes); of one exit, no copy."""
    return logits[0][:, None] if len(logits) == 1 else np.stack(logits, axis=1)


def every_logits(segments: Segments[T], x: NDArray[Any], batch_size: int = 256) -> NDArray[np.float32]:
    """Logits (inputs, exits, classes) of every exit for prepared inputs ``x``, of which none leaves."""
    parts = []
    for start in range(0, len(x), batch_size):
        batch, logits = segments.begin(x[start : start + batch_size]), []
        for segment in range(segments.count):
            batch, own = segments.run(segment, batch, with_exit=True)
            if own is None:
                raise AssertionError("logits were asked for")
            logits.append(own)
        parts.append(np.stack(logits, axis=1))
    return np.concatenate(parts)
