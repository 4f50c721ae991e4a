"""Data sets that torchvision reads whole, kept in the cache, so that torchvision is imported only once.

Their files lie in the folder ``root`` as torchvision's classes put and want them there.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.data import cache
from nni_earlyexit.data.image_files import OFFICIAL
from nni_earlyexit.data.images import check_shape
from nni_earlyexit.data.raw import Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.streamed import ResizedInputs
from nni_earlyexit.utils.files import claimed
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray

TIMEOUT_S = 20
"""Seconds that a server may stay silent."""


@dataclass(frozen=True)
class WholeSet:
    """A data set that one of torchvision's classes reads into memory.

    Attributes
    ----------
    kind
        Its kind, as users name it.
    files
        The files that it needs, under ``root``.
    shape
        (channels, height, width) of its images.
    parts
        Calls, given torchvision's module ``datasets`` and the arguments ``root`` and ``download``, of its class: for the
        training split and for the test split.
    """

    kind: str
    files: tuple[str, ...]
    shape: tuple[int, int, int]
    parts: Callable[[Any, dict[str, Any]], Sequence[Any]]

    def paths(self, settings: DataSettings) -> list[str]:
        """The files that it needs."""
        return [str(Path(settings.root, name)) for name in self.files]

    def check(self, settings: DataSettings) -> None:
        """``FileNotFoundError`` unless the files are there, or may be had."""
        missing = self._missing(settings)
        if missing and not settings.download:
            raise FileNotFoundError(
                f"root: there is no file {missing[0]!r} in {settings.root!r}, which {self.kind!r} needs; --download lets "
                "torchvision get it, and --root names another folder"
            )
        if settings.input_shape is not None:
            check_shape(settings.input_shape)
            if settings.input_shape[0] < self.shape[0]:
                raise ValueError(
                    f"input_shape: {list(settings.input_shape)} is not possible; {self.kind!r} has colours"
                )

    def read(self, settings: DataSettings, say: Say) -> Raw:
        """The images in the shape of ``settings``, from the cache if they are in it."""
        root = expanded(settings.root)
        if self._missing(settings):
            root.mkdir(parents=True, exist_ok=True)
            with claimed(root, lambda: say(f"waits for another process that gets {self.kind}")):
                if self._missing(settings):
                    say(f"torchvision gets {self.kind} into {root}")
                    self._datasets(settings, download=True)
        fingerprint = self._fingerprint(root)
        own = cache.cached(
            cache.Key(self.kind, fingerprint, self.shape),
            lambda: _images(self._datasets(settings, download=False)),
            self.kind,
            say,
        )
        key = cache.Key(self.kind, fingerprint, settings.input_shape or self.shape)
        if key.shape == self.shape or cache.size(key, len(own.labels)) > settings.cache_limit:
            return own
        return cache.cached(key, lambda: _resized(own, key.shape), self.kind, say)

    def _missing(self, settings: DataSettings) -> list[str]:
        root = expanded(settings.root)
        return [name for name in self.files if not (root / name).is_file()]

    def _fingerprint(self, root: Path) -> str:
        stats = [(name, (root / name).stat()) for name in self.files]
        return hashlib.sha256(repr([(name, s.st_size, s.st_mtime_ns) for name, s in stats]).encode()).hexdigest()

    def _datasets(self, settings: DataSettings, download: bool) -> Sequence[Any]:
        """The training and the test split as torchvision has them; one sentence where it has none."""
        from torchvision import datasets

        silence = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT_S)
        try:
            return self.parts(datasets, {"root": str(expanded(settings.root)), "download": download})
        except (RuntimeError, OSError) as error:
            if download:
                raise OSError(
                    f"download: torchvision cannot get {self.kind!r}: {_in_one_line(error)}; its files can be put into "
                    f"{settings.root!r} by hand"
                ) from None
            raise ValueError(
                f"root: the files of {self.kind!r} in {settings.root!r} are damaged or others than torchvision wants: "
                f"{_in_one_line(error)}"
            ) from None
        finally:
            socket.setdefaulttimeout(silence)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _images(parts: Sequence[Any]) -> cache.Images:
    """The images and classes of the training and the test split."""
    train = parts[0]
    labels = [np.asarray(getattr(part, "targets", getattr(part, "labels", None)), dtype=np.int64) for part in parts]
    pixels = [_channels_last(part) for part in parts]
    splits = np.repeat(np.array([0, OFFICIAL.index("test")], dtype=np.uint8), [len(labels[0]), len(labels[1])])
    names = tuple(map(str, getattr(train, "classes", ())))
    return cache.Images(lambda: _blocks(pixels), np.concatenate(labels), splits, names)


def _channels_last(part: Any) -> NDArray[np.uint8]:
    """The images (inputs, height, width, channels) of a split."""
    pixels = np.asarray(part.data)
    if pixels.ndim == 3:
        return pixels[..., None]
    return pixels if pixels.shape[-1] == 3 else pixels.transpose(0, 2, 3, 1)


def _blocks(parts: Sequence[NDArray[np.uint8]]) -> Iterator[cache.Block]:
    for pixels in parts:
        for start in range(0, len(pixels), 1024):
            yield cache.block(np.ascontiguousarray(pixels[start : start + 1024]))


def _resized(raw: Raw, shape: tuple[int, ...]) -> cache.Images:
    """The same images in another shape."""
    assert raw.inputs is not None
    inputs = ResizedInputs(raw.inputs, shape)
    splits = np.zeros(len(inputs), dtype=np.uint8)
    for part, positions in raw.official.items():
        splits[positions] = OFFICIAL.index(part)

    def blocks() -> Iterator[cache.Block]:
        for start in range(0, len(inputs), 256):
            x = inputs.read(np.arange(start, min(start + 256, len(inputs))))
            yield cache.block(x.permute(0, 2, 3, 1).contiguous().numpy())

    return cache.Images(blocks, raw.labels, splits, raw.class_names)
