"""Image files as raw data: from the cache where they fit into it, decoded as they are needed where they do not."""

from __future__ import annotations

import functools
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from nni_earlyexit.data import cache
from nni_earlyexit.data.image_files import ImageFiles
from nni_earlyexit.data.raw import Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.streamed import FileInputs
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray

AT_ONCE = 2**23
"""Bytes of decoded images that a thread hands over at once."""


def from_files(kind: str, source: str, files: ImageFiles, settings: DataSettings, say: Say) -> Raw:
    """The images of ``files`` in the shape of ``settings``; ``source`` is their name in sentences."""
    if files.left_out:
        say(f"folders of {source} that are no split are left out: {', '.join(files.left_out)}")
    fingerprint = files.fingerprint()
    shape = settings.input_shape
    if shape is None:
        shape = tuple(cache.noted(kind, fingerprint, "shape", lambda: common_shape(source, files), say))
    check_shape(shape)
    key = cache.Key(kind, fingerprint, shape)
    if cache.size(key, len(files)) > settings.cache_limit:
        return _streamed(key, files, settings.skip_unreadable, say)
    try:
        raw = cache.cached(key, lambda: _images(files, shape, settings.skip_unreadable), source, say)
    except OSError as error:
        raise OSError(f"{error}, and a lower cache_limit does without") from None
    if raw.unreadable and not settings.skip_unreadable:
        raise unreadable_error(list(raw.unreadable.values()))
    return raw


def check_shape(shape: Sequence[int]) -> None:
    """``ValueError`` unless images can be made ``shape``."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(
            f"input_shape: {list(shape)} is not possible; channels (1 or 3), height and width are, such as 3 32 32"
        )


def unreadable_error(unreadable: Sequence[str]) -> ValueError:
    """The error for images that could not be read."""
    more = f" (and {len(unreadable) - 1:,} more)" if len(unreadable) > 1 else ""
    return ValueError(f"{unreadable[0]}{more}; skip_unreadable leaves it out")


def common_shape(source: str, files: ImageFiles) -> tuple[int, int, int]:
    """The (channels, height, width) that all images have; ``ValueError`` if they differ."""
    headers = sizes(files)
    channels, height, width = headers.max(axis=0).tolist()
    if (headers[:, 1:] != headers[0, 1:]).any():
        least = headers[:, 1:].min(axis=0)
        raise ValueError(
            f"input_shape: the images of {source!r} differ in size, from {least[0]}x{least[1]} to {height}x{width}; "
            f"one is needed, such as --input-shape {' '.join(map(str, usual_shape(headers)))}"
        )
    return channels, height, width


def usual_shape(headers: NDArray[np.int64]) -> tuple[int, int, int]:
    """A (channels, height, width) for images of different :func:`sizes`: square, and as large as they are in the middle."""
    # a multiple of what networks divide by
    side = min(224, max(32, round(float(np.median(headers[:, 1:].min(axis=1))) / 32) * 32))
    return int(headers[:, 0].max()), side, side


def sizes(files: ImageFiles) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Channels, height and width (images, 3) of the images whose headers can be read."""
    from nni_earlyexit.data.decoding import UnreadableImage, header

    headers, last = [], ""
    for position in range(len(files)):
        try:
            headers.append(header(files.path(position)))
        except UnreadableImage as error:
            last = str(error)
    if not headers:
        raise ValueError(last)
    return np.array(headers, dtype=np.int64)


def _images(files: ImageFiles, shape: tuple[int, ...], skip: bool) -> cache.Images:
    return cache.Images(lambda: _blocks(files, shape, skip), files.labels, files.splits, files.class_names)


def _blocks(files: ImageFiles, shape: tuple[int, ...], skip: bool) -> Iterator[cache.Block]:
    """The decoded images, some at a time, by several threads: Pillow lets others run while it decodes."""
    from nni_earlyexit.data.decoding import UnreadableImage, decoded

    channels, height, width = shape
    step = max(1, min(256, AT_ONCE // (channels * height * width)))

    def decode(start: int) -> cache.Block:
        stop = min(start + step, len(files))
        images = np.empty((stop - start, height, width, channels), dtype=np.uint8)
        place, unreadable = 0, {}
        for position in range(start, stop):
            try:
                images[place] = decoded(files.path(position), shape)
                place += 1
            except UnreadableImage as error:
                if not skip:
                    raise unreadable_error([str(error)]) from None
                unreadable[position] = str(error)
        return cache.block(images[:place], unreadable)

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[cache.Block]] = deque()
    try:
        for start in range(0, len(files), step):
            waiting.append(pool.submit(decode, start))
            if len(waiting) > 2 * threads:  # no more are decoded ahead than are soon written
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _streamed(key: cache.Key, files: ImageFiles, skip: bool, say: Say) -> Raw:
    """The files as they are; with ``skip``, each is decoded once to know those that can be read."""
    unreadable: dict[int, str] = {}
    if skip:
        find = functools.partial(_unreadable, files, key.shape, say)
        unreadable = dict(cache.noted(key.kind, key.fingerprint, "unreadable", find, say))
        files = files.without(np.array(list(unreadable), dtype=np.intp))
    return Raw(
        FileInputs(files, key.shape),
        files.labels,
        files.class_names,
        cache.official(files.splits),
        pixels=True,
        unreadable=unreadable,
    )


def _unreadable(files: ImageFiles, shape: tuple[int, ...], say: Say) -> list[tuple[int, str]]:
    """Positions of the images that cannot be read, each with the reason."""
    say(f"looks for images that cannot be read among {len(files):,}, which is done once")
    unreadable: dict[int, str] = {}
    done, last = 0, time.monotonic()
    for part in _blocks(files, shape, skip=True):
        unreadable |= part.unreadable
        done += len(part.images) + len(part.unreadable)
        if time.monotonic() - last > cache.SILENCE_S:
            last = time.monotonic()
            say(f"looked at {done:,} of {len(files):,} images")
    return list(unreadable.items())
