"""From images and sentences to the arrays that the first segment of an exported network takes, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nni_earlyexit.utils.checks import are_matrices
from numpy.typing import NDArray

PADDING, UNKNOWN_WORD = 0, 1
"""Token ids, as networks on sentences were trained with."""


class Preparation:
    """Makes batches for the first segment.

    Parameters
    ----------
    preprocessing
        That of the bundle. Mean and standard deviation are in the first segment.
    """

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        self._shape = tuple(preprocessing["input_shape"])
        self._tokens = len(self._shape) == 1 and preprocessing["mean"] is None
        self._pixels = bool(preprocessing["pixels"])
        vocabulary: Sequence[str] | None = preprocessing["vocabulary"]
        self._ids: dict[str, int] | None = None
        if vocabulary is not None:
            self._ids = {word: number for number, word in enumerate(vocabulary, start=UNKNOWN_WORD + 1)}

    def __call__(self, images: Any) -> NDArray[Any]:
        """A batch of what a user has.

        Parameters
        ----------
        images
            One image or a batch: uint8, or float from 0 to 1 where the network learned from uint8 images; channels first or
            last, or grey without channels, of the network's own height and width. An array of three dimensions whose first or
            last one is as long as an image has channels is one image; in a list, arrays of two are as many grey ones. Of a
            network on sentences: one sentence, several, or token ids.

        Returns
        -------
        array
            Float32 (inputs, *input shape), uint8 images as fractions of 255; token ids as int64.

        Raises
        ------
        ValueError
            For what the network cannot take.
        """
        shape = self._shape
        if isinstance(images, str):
            return self._sentences([images])
        if isinstance(images, Sequence) and not images:
            return np.zeros((0, *shape), np.int64 if self._tokens else np.float32)
        if isinstance(images, Sequence) and isinstance(images[0], str):
            return self._sentences(images)
        try:
            x = np.asarray(images)
        except ValueError:
            raise ValueError("inputs: they differ in size, so they are no batch; give them one at a time") from None
        if self._tokens:
            x = np.atleast_2d(x).astype(np.int64)
        elif len(shape) == 3:
            x = _images(x[:, None] if are_matrices(images) else x, shape, self._pixels)
        else:
            x = (x if x.ndim > len(shape) else x[None]).astype(np.float32)
        if x.shape[1:] != shape:
            raise ValueError(f"inputs: shape {x.shape} is not possible; (inputs, {', '.join(map(str, shape))}) is")
        return x

    def _sentences(self, sentences: Sequence[str]) -> NDArray[np.int64]:
        if self._ids is None:
            raise ValueError("inputs: sentences are not possible; the network takes arrays")
        rows = np.full((len(sentences), *self._shape), PADDING, dtype=np.int64)
        for row, sentence in zip(rows, sentences, strict=True):
            words = sentence.lower().split()[: len(row)]
            row[: len(words)] = [self._ids.get(word, UNKNOWN_WORD) for word in words]
        return rows


def _images(x: NDArray[Any], shape: tuple[int, ...], pixels: bool) -> NDArray[np.float32]:
    channels = shape[0]
    if x.ndim == 2:
        x = x[None]
    if x.ndim == 3:
        x = x[None] if _has_channels(x.shape, channels) else x[:, None]
    if x.ndim != 4 or not _has_channels(x.shape[1:], channels):
        raise ValueError(f"inputs: shape {x.shape} is not possible; images of {', '.join(map(str, shape))} are")
    if x.shape[1] not in (1, channels):
        x = x.transpose(0, 3, 1, 2)
    if x.shape[2:] != shape[1:]:
        raise ValueError(
            f"inputs: images of {x.shape[2]} x {x.shape[3]} are not possible; scale them to {shape[1]} x {shape[2]} first"
        )
    if x.dtype == np.uint8:
        x = x.astype(np.float32) / np.float32(255)
    elif pixels and x.size and (x.min() < -1e-3 or x.max() > 1.001):
        raise ValueError(
            f"inputs: floats from {x.min():g} to {x.max():g} are not possible; images are uint8, or float from 0 to 1"
        )
    return np.require(np.broadcast_to(x, (len(x), *shape)), np.float32, ["C", "W"])  # torch wants to be able to write


def _has_channels(shape: Sequence[int], channels: int) -> bool:
    return len(shape) == 3 and (shape[0] in (1, channels) or shape[-1] in (1, channels))
