"""Data in four fixed splits, each with one purpose.

``train`` trains networks. ``validation`` is what the search sees. ``calibration`` fits cutoffs after the search. ``test``
judges, in final tables only. A test split that comes with the data is the test split; the others are cut from the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from nni_earlyexit.data.raw import ArrayInputs, Inputs, Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.vocabulary import build_vocabulary
from nni_earlyexit.nn.preprocessing import UNKNOWN_WORD, Preprocessing, token_ids
from nni_earlyexit.nn.tokens import vocabulary_of
from numpy.typing import NDArray
from torch import Tensor

PARTS = ("train", "validation", "calibration", "test")
NUMBERS_AT_ONCE = 2**22
"""Numbers in the inputs that are prepared at once where they only pass through, 16 MB of float32."""
STREAMED = 2048
"""So many training inputs are decoded for their mean and standard deviation, where all would take too long."""
UNEQUAL = 10
"""So many times as many inputs of the largest class as of the smallest are worth a word."""


class Split:
    """Inputs and their classes.

    Parameters
    ----------
    x
        Inputs by their positions, or a tensor (inputs, *input_shape).
    y
        Their classes (inputs,), int64.
    positions
        Those inputs of ``x`` that belong to the split; all by default.
    preprocessing
        The way from what ``x`` holds to what a network takes; nothing by default.
    """

    def __init__(
        self,
        x: Inputs | Tensor,
        y: Tensor,
        positions: NDArray[np.integer] | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        self._inputs: Inputs = ArrayInputs(x.numpy()) if isinstance(x, Tensor) else x
        self.positions = np.arange(len(self._inputs)) if positions is None else positions
        self.y = y
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.y)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self._inputs.input_shape

    @property
    def streams(self) -> bool:
        """``True`` if reading takes time, as where images are decoded each time: then it is worth reading ahead."""
        return self._inputs.streams

    def raw(self, members: Any) -> Tensor:
        """Inputs as they are stored, by their places in the split (an array, a list or a slice)."""
        return self._inputs.read(self.positions[members])

    def prepared(self, members: Any) -> Tensor:
        """Inputs as a network takes them, by their places in the split (an array, a list or a slice)."""
        x = self.raw(members)
        return x if self.preprocessing is None else self.preprocessing(x)

    @property
    def x(self) -> Tensor:
        """All inputs as a network takes them, which may be much."""
        return self.prepared(slice(None))

    def parts(self) -> Iterator[Tensor]:
        """All inputs in turn, as many at once as fit easily."""
        size = max(1, min(512, NUMBERS_AT_ONCE // math.prod(self.input_shape)))
        slices = [slice(start, start + size) for start in range(0, len(self), size)]
        if not self.streams:
            yield from map(self.prepared, slices)
            return
        with ThreadPoolExecutor(1) as ahead:  # the next are decoded while these are used
            coming = None
            for members in slices:
                last, coming = coming, ahead.submit(self.prepared, members)
                if last is not None:
                    yield last.result()
            if coming is not None:
                yield coming.result()

    def part(self, members: Any) -> Split:
        """Some of the inputs, by their places in the split (an array, a list or a slice)."""
        return Split(self._inputs, self.y[members], self.positions[members], self.preprocessing)

    def with_preprocessing(self, preprocessing: Preprocessing) -> Split:
        """The same inputs, prepared in another way."""
        return Split(self._inputs, self.y, self.positions, preprocessing)


@dataclass(frozen=True)
class Data:
    """A classification task: four splits that share no input.

    Attributes
    ----------
    name
        The data set as the user calls it.
    num_classes
        Number of classes.
    preprocessing
        The way from what is stored to what a network takes, fitted to the training split.
    notes
        Sentences on what a user should know.
    workers
        Processes that read ahead where reading takes time; ``None``: as many as threads.
    normalisation_given
        ``True`` if the user gave mean and standard deviation.
    """

    name: str
    num_classes: int
    train: Split
    validation: Split
    calibration: Split
    test: Split
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(()))
    notes: tuple[str, ...] = ()
    workers: int | None = None
    normalisation_given: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.train.input_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; their numbers where the data have no names."""
        return self.preprocessing.class_names or tuple(map(str, range(self.num_classes)))

    def for_network(self, network: Classifier) -> Data:
        """The data as ``network`` takes them: normalised as its weights were trained, if it came with weights."""
        mean, std = getattr(network, "mean", None), getattr(network, "std", None)
        if mean is None or std is None or not self.preprocessing.pixels or self.normalisation_given:
            return self
        preprocessing = replace(self.preprocessing, mean=tuple(mean), std=tuple(std))
        splits = {part: getattr(self, part).with_preprocessing(preprocessing) for part in PARTS}
        return replace(self, preprocessing=preprocessing, **splits)


class Classifier(Protocol):
    """A network, or a space of networks, that takes inputs of one shape and tells classes apart."""

    @property
    def input_shape(self) -> Sequence[int]:
        """Shape of one input, without the batch."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""


def check_fits(task: Data, network: Classifier) -> None:
    """``ValueError`` unless ``network`` (or a space) takes the inputs of ``task`` and has its classes."""
    if (task.input_shape, task.num_classes) != (tuple(network.input_shape), network.num_classes):
        resize = f"; give input_shape {' '.join(map(str, network.input_shape))}" if len(task.input_shape) == 3 else ""
        raise ValueError(
            f"data: {task.name!r} has inputs {task.input_shape} of {task.num_classes} classes, the network takes "
            f"{tuple(network.input_shape)} of {network.num_classes}"
            f"{resize if task.num_classes == network.num_classes else ''}"
        )
    vocabulary = vocabulary_of(network) if len(task.input_shape) == 1 else None
    if vocabulary is not None:
        _check_ids(task, vocabulary)


def _check_ids(task: Data, vocabulary: int) -> None:
    """``ValueError`` unless the inputs of ``task`` are token ids of a ``vocabulary`` of so many."""
    ids = [getattr(task, part).raw(slice(None)) for part in PARTS]
    if ids[0].is_floating_point():
        raise ValueError(f"data: {task.name!r} has rows of real numbers, the network takes token ids, integers from 0")
    most = max(int(part.max()) for part in ids)
    if most >= vocabulary:
        raise ValueError(
            f"vocabulary: {vocabulary} is not possible; with the token ids of {task.name!r}, {most + 1} is"
        )


def cut(source: str, raw: Raw, settings: DataSettings, seed: int) -> Data:
    """The four splits of what was read, each with the same share of each class, and normalised by the training split.

    ``ValueError`` in one sentence for classes that are too few or too small.
    """
    members = _members(source, raw, settings, seed)
    inputs, vocabulary = raw.inputs, None
    if inputs is None:
        sentences = raw.sentences or ()
        vocabulary = build_vocabulary([sentences[i] for i in members["train"]], settings.vocabulary)
        ids = {word: number for number, word in enumerate(vocabulary, start=UNKNOWN_WORD + 1)}
        shape = settings.input_shape or (settings.tokens,)
        if len(shape) != 1:
            raise ValueError(f"input_shape: {list(shape)} is not possible for sentences; one number, of words, is")
        inputs = ArrayInputs(token_ids(sentences, ids, shape[0]))
    mean, std = settings.mean, settings.std
    if mean is not None and raw.pixels and len(mean) != inputs.input_shape[0]:
        raise ValueError(f"mean: {list(mean)} is not possible; {inputs.input_shape[0]}, one per channel, are")
    if std is not None and raw.pixels and len(std) != inputs.input_shape[0]:
        raise ValueError(f"std: {list(std)} is not possible; {inputs.input_shape[0]}, one per channel, are")
    if mean is not None and not raw.pixels:
        raise ValueError(f"mean: it is for images from 0 to 255, which those of {source!r} are not")
    if mean is None:
        mean, std = _mean_and_std(source, inputs, members["train"], seed)
    preprocessing = Preprocessing(
        inputs.input_shape,
        mean,
        std,
        pixels=raw.pixels,
        class_names=raw.class_names,
        vocabulary=vocabulary,
    )
    labels = torch.from_numpy(raw.labels.astype(np.int64))
    splits = {part: Split(inputs, labels[members[part]], members[part], preprocessing) for part in PARTS}
    num_classes = max(len(raw.class_names), int(raw.labels.max()) + 1)
    if settings.most_inputs is not None and settings.most_inputs < num_classes:
        raise ValueError(
            f"most_inputs: {settings.most_inputs} is not possible for {num_classes} classes; at least one of each is needed"
        )
    counts = np.bincount(raw.labels[members["train"]], minlength=num_classes)
    notes = raw.notes
    for part in settings.given_shares():
        if part in raw.official:
            notes = (*notes, f"{part}_share changes nothing: {source!r} has a {part} split of its own")
    if raw.unreadable:
        notes = (
            *notes,
            f"{len(raw.unreadable):,} images could not be read and are left out; {next(iter(raw.unreadable.values()))}",
        )
    if counts.max() > UNEQUAL * counts.min():
        most, least = raw_name(raw, int(counts.argmax())), raw_name(raw, int(counts.argmin()))
        notes = (
            *notes,
            f"the classes are very unequal: {counts.max():,} training inputs of {most}, {counts.min():,} of {least}; "
            "class_weights makes up for it",
        )
    return Data(
        source,
        num_classes,
        preprocessing=preprocessing,
        notes=notes,
        workers=settings.workers,
        normalisation_given=settings.mean is not None,
        **splits,
    )


def raw_name(raw: Raw, label: int) -> str:
    """The name of a class in a sentence."""
    return repr(raw.class_names[label]) if raw.class_names else f"class {label}"


def _members(source: str, raw: Raw, settings: DataSettings, seed: int) -> dict[str, NDArray[np.intp]]:
    """Positions of each split's inputs in ``raw``."""
    labels = raw.labels
    rest = np.ones(len(labels), dtype=bool)
    for positions in raw.official.values():
        rest[positions] = False
    shares = settings.shares(raw.official)
    wanted = [part for part in PARTS if part not in raw.official]
    edges = np.cumsum([shares[part] for part in wanted])[:-1]
    rng = np.random.default_rng(seed)
    members: dict[str, list[NDArray[np.intp]]] = {part: [] for part in wanted}
    for label in range(max(int(labels.max(initial=-1)) + 1, len(raw.class_names))):
        own = rng.permutation(np.flatnonzero((labels == label) & rest))
        if not len(own):
            raise ValueError(
                f"data: in {source!r}, {raw_name(raw, label)} has no training inputs; every class needs some"
            )
        for part, chosen in zip(wanted, np.split(own, (edges * len(own)).round().astype(int)), strict=True):
            if not len(chosen):
                needed = math.ceil(1 / min(share for share in shares.values() if share > 0))
                raise ValueError(
                    f"data: in {source!r}, {raw_name(raw, label)} has {len(own)} inputs to be split, none of them for "
                    f"{part}; {needed} are enough"
                )
            members[part].append(chosen)
    every = {**{part: np.concatenate(chosen) for part, chosen in members.items()}, **raw.official}
    return {part: np.sort(_some(positions, labels, settings.most_inputs, seed)) for part, positions in every.items()}


def _some(positions: NDArray[np.intp], labels: NDArray[np.int64], most: int | None, seed: int) -> NDArray[np.intp]:
    """At most so many of ``positions``, one of each class in turn."""
    if most is None or len(positions) <= most:
        return positions
    drawn = np.random.default_rng(seed).permutation(positions)
    turns = np.empty(len(drawn), dtype=np.intp)
    for label in np.unique(labels[drawn]):
        own = labels[drawn] == label
        turns[own] = np.arange(own.sum())
    return drawn[np.argsort(turns, kind="stable")][:most]


def _mean_and_std(
    source: str, inputs: Inputs, train: NDArray[np.intp], seed: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and standard deviation per channel of the training inputs; those of uint8 as fractions of 255.

    Where inputs stream, they are those of some training inputs, which the seed chooses.
    """
    if inputs.sums is not None:
        return _from_sums(inputs.sums[train], inputs.input_shape)
    if inputs.streams and len(train) > STREAMED:
        train = np.sort(np.random.default_rng(seed).choice(train, STREAMED, replace=False))
    first = inputs.read(train[:1])
    if first.dtype == torch.int64:  # token ids
        return None, None
    axes = (0, *range(2, first.ndim))
    if first.dtype == torch.uint8:
        return _moments(inputs, train, axes)
    x = inputs.read(train).numpy()
    with np.errstate(over="ignore", invalid="ignore"):  # it is looked at afterwards
        mean, std = x.mean(axis=axes), np.maximum(x.std(axis=axes), 1e-6)
        shape = (-1, *[1] * (x.ndim - 2))
        every = (inputs.read(np.arange(len(inputs))).numpy() - mean.reshape(shape)) / std.reshape(shape)
    if not np.isfinite(every).all():
        raise ValueError(f"data: in {source!r}, x runs from {x.min()} to {x.max()}, which is too far to be normalised")
    return tuple(mean.tolist()), tuple(std.tolist())


def _from_sums(sums: NDArray[np.int64], input_shape: tuple[int, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The same from the sums (inputs, 2, channels) of each image's pixels and of their squares."""
    mean, squares = sums.sum(axis=0) / (len(sums) * math.prod(input_shape[1:]))
    std = np.sqrt(np.maximum(squares - mean**2, 0))
    return tuple((mean / 255).tolist()), tuple(np.maximum(std / 255, 1e-6).tolist())


def _moments(
    inputs: Inputs, train: NDArray[np.intp], axes: tuple[int, ...], at_once: int = 1024
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images as fractions of 255, exact, some images at a time."""
    count, total, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    at_once = max(1, min(at_once, 4 * NUMBERS_AT_ONCE // math.prod(inputs.input_shape)))
    for start in range(0, len(train), at_once):
        x = inputs.read(train[start : start + at_once])
        channels = x.transpose(0, 1).reshape(x.shape[1], -1)
        histogram = torch.stack([torch.bincount(channel, minlength=256) for channel in channels]).double()
        values = torch.arange(256, dtype=torch.float64)
        count += channels.shape[1]
        total, squares = total + histogram @ values, squares + histogram @ values.square()
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    return tuple((mean / 255).tolist()), tuple((std / 255).clamp(min=1e-6).tolist())
