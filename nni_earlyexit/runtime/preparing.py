"""From images and sentences to the arrays that the first segment of an exported network takes, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PADDING, UNKNOWN_WORD = 0, 1
"""Token ids, as networks on sentences were trained with."""


def prepared(images: Any, preprocessing: Mapping[str, Any]) -> NDArray[Any]:
    """A batch for the first segment.

    Parameters
    ----------
    images
        One image or a batch: uint8, or float from 0 to 1 where the network learned from uint8 images; channels first or last,
        or grey without channels, of the network's own height and width. Of a network on sentences: one sentence, several, or
        token ids.
    preprocessing
        That of the bundle. Mean and standard deviation are in the first segment.

    Returns
    -------
    array
        Float32 (inputs, *input shape), uint8 images as fractions of 255; token ids as int64.

    Raises
    ------
    ValueError
        For what the network cannot take.
    """
    shape = tuple(preprocessing["input_shape"])
    if isinstance(images, str) or (isinstance(images, Sequence) and images and isinstance(images[0], str)):
        return _tokens([images] if isinstance(images, str) else list(images), preprocessing["vocabulary"], shape[0])
    x = np.asarray(images)
    if len(shape) == 1 and preprocessing["mean"] is None:
        x = np.atleast_2d(x).astype(np.int64)
    elif len(shape) == 3:
        x = _images(x, shape, bool(preprocessing["pixels"]))
    else:
        x = (x if x.ndim > len(shape) else x[None]).astype(np.float32)
    if x.shape[1:] != shape:
        raise ValueError(f"inputs: shape {x.shape} is not possible; (inputs, {', '.join(map(str, shape))}) is")
    return x


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


def _tokens(sentences: Sequence[str], vocabulary: Sequence[str] | None, tokens: int) -> NDArray[np.int64]:
    if vocabulary is None:
        raise ValueError("inputs: sentences are not possible; the network takes arrays")
    ids = {word: number for number, word in enumerate(vocabulary, start=UNKNOWN_WORD + 1)}
    rows = np.full((len(sentences), tokens), PADDING, dtype=np.int64)
    for row, sentence in zip(rows, sentences, strict=True):
        words = sentence.lower().split()[:tokens]
        row[: len(words)] = [ids.get(word, UNKNOWN_WORD) for word in words]
    return rows
