"""A look at a data set before anything is trained on it: its counts, and what is suspicious about it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from nni_earlyexit.data.raw import Inputs, Raw
from nni_earlyexit.data.splits import PARTS, Data
from numpy.typing import NDArray

TINY = 20
"""A class of fewer training inputs is hardly learned."""
AT_ONCE = 512
"""Inputs that are read at once."""
RATE_S = 2
"""Seconds that a speed is measured for."""


@dataclass(frozen=True)
class Findings:
    """The result of an inspection.

    Attributes
    ----------
    counts
        Inputs (classes,) of each split.
    suspicious
        Sentences on what may be wrong; none if all is well.
    """

    counts: Mapping[str, NDArray[np.intp]]
    suspicious: tuple[str, ...]


def inspect(raw: Raw, task: Data, name: Callable[[int], str] = "input {}".format) -> Findings:
    """Findings on data as they were read and their four splits; ``name`` is how one input is called, by its position."""
    counts = {part: np.bincount(getattr(task, part).y.numpy(), minlength=task.num_classes) for part in PARTS}
    digests, constant = _looked_through(raw)
    suspicious = [*task.notes, *_small(counts, task.class_names)]
    suspicious += _in_several_splits(digests, task, name)
    if sentence := _of_several_classes(digests, raw, name):
        suspicious.append(sentence)
    if len(constant):
        suspicious.append(f"{_inputs(len(constant))} one colour only, such as {name(int(constant[0]))}")
    return Findings(counts, tuple(suspicious))


def rate(inputs: Inputs, seed: int = 0) -> float:
    """Inputs a second, read in batches and in random order."""
    rng = np.random.default_rng(seed)
    batch = min(64, len(inputs))
    inputs.read(rng.integers(len(inputs), size=batch))
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < RATE_S:
        count += len(inputs.read(rng.integers(len(inputs), size=batch)))
    return count / elapsed


def _blocks(raw: Raw) -> Iterator[NDArray[np.generic]]:
    assert raw.inputs is not None
    for start in range(0, len(raw.inputs), AT_ONCE):
        x = raw.inputs.read(np.arange(start, min(start + AT_ONCE, len(raw.inputs)))).numpy()
        yield np.ascontiguousarray(x).reshape(len(x), -1)


def _looked_through(raw: Raw) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A number (inputs,) that equal inputs share; the positions of images that are one colour."""
    digests: list[bytes] = []
    constant = [np.array([], dtype=np.intp)]
    if raw.inputs is None:
        digests = [_digest(sentence.encode()) for sentence in raw.sentences or ()]
    else:
        are_images = len(raw.inputs.input_shape) == 3
        for rows in _blocks(raw):
            start = len(digests)
            if are_images:
                pixels = rows.reshape(len(rows), raw.inputs.input_shape[0], -1)
                constant.append(start + np.flatnonzero((pixels == pixels[..., :1]).all(axis=(1, 2))))
            digests += [_digest(row.tobytes()) for row in rows]
    words = np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2)
    _, numbers = np.unique(words, axis=0, return_inverse=True)
    return numbers.reshape(-1), np.concatenate(constant)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _inputs(count: int) -> str:
    return "1 input is" if count == 1 else f"{count:,} inputs are"


def _small(counts: Mapping[str, NDArray[np.intp]], names: tuple[str, ...]) -> Iterator[str]:
    few = np.flatnonzero(counts["train"] < TINY)
    if len(few):
        least = few[counts["train"][few].argmin()]
        classes = "1 class has" if len(few) == 1 else f"{len(few):,} classes have"
        yield (
            f"{classes} fewer than {TINY} training inputs; {names[least]!r} has {counts['train'][least]}"
            f"{'' if len(few) == 1 else ', the fewest'}"
        )
    for part in PARTS[1:]:
        lacking = np.flatnonzero(counts[part] == 0)
        if len(lacking):
            yield f"{part} has no inputs of {len(lacking)} classes, such as {names[lacking[0]]!r}"


def _in_several_splits(digests: NDArray[np.intp], task: Data, name: Callable[[int], str]) -> Iterator[str]:
    first = np.full(digests.max() + 1, -1)
    first[digests[task.train.positions]] = task.train.positions
    for part in PARTS[1:]:
        positions = getattr(task, part).positions
        same = positions[first[digests[positions]] >= 0]
        if len(same):
            yield (
                f"{_inputs(len(same))} in {part} that training has too, such as {name(int(same[0]))} and "
                f"{name(int(first[digests[same[0]]]))}"
            )


def _of_several_classes(digests: NDArray[np.intp], raw: Raw, name: Callable[[int], str]) -> str:
    first = np.zeros(digests.max() + 1, dtype=np.intp)
    first[digests] = np.arange(len(digests))
    others = np.flatnonzero(raw.labels != raw.labels[first[digests]])
    if not len(others):
        return ""
    number = len(np.unique(digests[others]))
    return (
        f"{_inputs(number)} there with different classes, such as {name(int(others[0]))} and "
        f"{name(int(first[digests[others[0]]]))}"
    )
