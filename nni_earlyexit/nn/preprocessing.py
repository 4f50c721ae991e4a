"""Preprocessing: the way from an image or a sentence to the numbers that a network takes.

It belongs to the network. The same pixels, normalised in another way, are another input, and a network answers all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from nni_earlyexit.nn.tokens import PADDING
from nni_earlyexit.utils.checks import are_matrices
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

UNKNOWN_WORD = 1
"""The token id of a word that the vocabulary does not hold; words have the ids after it."""

Inputs: TypeAlias = "Tensor | NDArray[Any] | str | Sequence[str]"


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of a network, as plain data.

    Attributes
    ----------
    input_shape
        Shape of one input of the network: (channels, height, width), (tokens,), or that of any other array.
    mean, std
        Mean and standard deviation per channel that inputs are normalised with; of images in files and of uint8 images, as
        fractions of the brightest value, 255. ``None`` for token ids, which stay as they are.
    pixels
        ``True`` if the network learned from uint8 images, so that a float image runs from 0 to 1.
    class_names
        Names of the classes, by their numbers.
    vocabulary
        Words of a network on sentences; the id of the first is ``UNKNOWN_WORD + 1``.
    """

    input_shape: tuple[int, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pixels: bool = False
    class_names: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The normalised batch ``x``, whose shape is right; token ids as int64."""
        if self.mean is None or self.std is None:
            return x.long() if not x.is_floating_point() else x
        shape = (1, -1, *[1] * (x.ndim - 2))
        mean, std = x.new_tensor(self.mean, dtype=torch.float32), x.new_tensor(self.std, dtype=torch.float32)
        if x.dtype == torch.uint8 and len(self.input_shape) == 3:
            # in the copy that float makes: large images take half the time
            return x.float().sub_(mean.view(shape) * 255).div_(std.view(shape) * 255)
        return (x.float() - mean.view(shape)) / std.view(shape)

    def inputs(self, images: Inputs) -> Tensor:
        """A batch for the network from what a user has.

        Parameters
        ----------
        images
            One image or a batch, numpy or torch: uint8, or float from 0 to 1 where the network learned from uint8 images;
            channels first or last, or grey without channels. It is resized as the training images were. An array of three
            dimensions whose first or last one is as long as an image has channels is one image; in a list, arrays of two are as
            many grey ones. Of a network on sentences: one sentence, several, or token ids.

        Raises
        ------
        ValueError
            For inputs that the network cannot take.
        """
        return self(self.shaped(images))

    def shaped(self, images: Inputs) -> Tensor:
        """The same batch before it is normalised: images of the right size in their own type, token ids."""
        if isinstance(images, str) or (isinstance(images, Sequence) and images and isinstance(images[0], str)):
            return self._sentences([images] if isinstance(images, str) else list(map(str, images)))
        x = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
        if len(self.input_shape) == 3:
            x = self._images(x[:, None] if are_matrices(images) else x)
        elif x.ndim == len(self.input_shape):
            x = x[None]
        if tuple(x.shape[1:]) != self.input_shape:
            raise ValueError(f"inputs: shape {tuple(x.shape)} is not possible; (inputs, {self._shape()}) is")
        return x

    def _shape(self) -> str:
        return ", ".join(map(str, self.input_shape))

    def _images(self, x: Tensor) -> Tensor:
        channels = self.input_shape[0]
        if x.ndim == 2:
            x = x[None]  # grey, without channels
        if x.ndim == 3:
            x = x[None] if _has_channels(x.shape, channels) else x[:, None]  # one image, or a batch of grey ones
        if x.ndim != 4 or not _has_channels(x.shape[1:], channels):
            raise ValueError(f"inputs: shape {tuple(x.shape)} is not possible; images of {self._shape()} are")
        if x.shape[1] not in (1, channels):
            x = x.permute(0, 3, 1, 2)
        if x.dtype != torch.uint8:
            x = x.float()
            if self.pixels and len(x) and (x.min() < -1e-3 or x.max() > 1.001):
                raise ValueError(
                    f"inputs: floats from {x.min():g} to {x.max():g} are not possible; images are uint8, or float from 0 to 1"
                )
        return resized(x.expand(-1, channels, -1, -1), self.input_shape[1:])

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary or (), start=UNKNOWN_WORD + 1)}

    def _sentences(self, sentences: Sequence[str]) -> Tensor:
        if self.vocabulary is None:
            raise ValueError("inputs: sentences are not possible; the network takes arrays")
        return torch.from_numpy(token_ids(sentences, self._ids, self.input_shape[0]))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "input_shape": list(self.input_shape),
            "mean": None if self.mean is None else list(self.mean),
            "std": None if self.std is None else list(self.std),
            "pixels": self.pixels,
            "class_names": list(self.class_names),
            "vocabulary": None if self.vocabulary is None else list(self.vocabulary),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """The inverse of :meth:`to_dict`."""

        def numbers(name: str) -> tuple[float, ...] | None:
            return None if data[name] is None else tuple(map(float, data[name]))

        return cls(
            input_shape=tuple(map(int, data["input_shape"])),
            mean=numbers("mean"),
            std=numbers("std"),
            pixels=bool(data["pixels"]),
            class_names=tuple(map(str, data["class_names"])),
            vocabulary=None if data["vocabulary"] is None else tuple(map(str, data["vocabulary"])),
        )


def _has_channels(shape: Sequence[int], channels: int) -> bool:
    """``True`` if an image of this ``shape`` has its channels first or last."""
    return len(shape) == 3 and (shape[0] in (1, channels) or shape[-1] in (1, channels))


def resized(images: Tensor, size: Sequence[int]) -> Tensor:
    """Images (batch, channels, height, width), uint8 or float, of this (height, width).

    The shorter side is scaled to fit, and what is too long is cut off on both sides alike, so that nothing is distorted.
    """
    height, width = images.shape[2:]
    if (height, width) == tuple(size):
        return images
    scale = max(size[0] / height, size[1] / width)
    scaled = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    if scaled != (height, width):
        small = interpolate(images.float(), scaled, mode="bilinear", antialias=True)
        images = small.round().clamp(0, 255).byte() if images.dtype == torch.uint8 else small
    top, left = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    return images[:, :, top : top + size[0], left : left + size[1]]


def words_of(sentence: str) -> list[str]:
    """The words of a sentence: its parts between spaces, in lower case."""
    return sentence.lower().split()


def token_ids(sentences: Sequence[str], ids: Mapping[str, int], tokens: int) -> NDArray[np.int64]:
    """Rows (sentences, tokens) of ids, cut off or filled up with padding."""
    rows = np.full((len(sentences), tokens), PADDING, dtype=np.int64)
    for row, sentence in zip(rows, sentences, strict=True):
        words = words_of(sentence)[:tokens]
        row[: len(words)] = [ids.get(word, UNKNOWN_WORD) for word in words]
    return rows
