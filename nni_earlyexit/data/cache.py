"""Decoded images on disk: made once, mapped by every trial.

An entry is a folder ``KIND-FINGERPRINT-CxHxW`` with

============================== ==================================================================================
``images.npy``                 the images (images, height, width, channels), uint8
``labels.npy``, ``splits.npy`` their classes, and codes of the split that the data themselves put each into
``sums.npy``                   sums (images, 2, channels) of the pixels of each image and of their squares
``index.json``                 its format, the names of the classes, what could not be read, and checksums of the arrays
============================== ==================================================================================

What else is worth remembering of a set, such as the size that all its images have, is an ``index.json`` in a folder of its own.
An entry is made in ``.NAME.part`` beside its place and renamed when it is whole. One process makes it, the others wait for it.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from nni_earlyexit.data.image_files import OFFICIAL
from nni_earlyexit.data.raw import ArrayInputs, Raw
from nni_earlyexit.utils.amounts import format_bytes
from nni_earlyexit.utils.files import (
    LOCK,
    checksum_of,
    claimed,
    put_folder,
    read_array,
    read_json,
    write_json,
)
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray

FORMAT = 2
VARIABLE = "NNI_EARLYEXIT_CACHE"
"""The environment variable that names the folder."""
SILENCE_S = 10
"""Seconds after which a word on progress is due."""

_ARRAYS = ("images", "labels", "splits", "sums")
_FILES = ("index.json", *(f"{name}.npy" for name in _ARRAYS))
_NAME = re.compile(r"[a-z0-9_]+-[0-9a-f]{16}-(\d+x\d+x\d+|[a-z]+)|\..+-[0-9a-f]{16}-\d+x\d+x\d+\.part")
_ELSEWHERE = f"{VARIABLE} names another folder"


class Key(NamedTuple):
    """The name of an entry: the kind of data, the fingerprint of their files, and (channels, height, width)."""

    kind: str
    fingerprint: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind}-{self.fingerprint[:16]}-{'x'.join(map(str, self.shape))}"


class Block(NamedTuple):
    """Some images in turn (images, height, width, channels), their sums, and the positions that could not be read."""

    images: NDArray[np.uint8]
    sums: NDArray[np.int64]
    unreadable: Mapping[int, str]


def block(images: NDArray[np.uint8], unreadable: Mapping[int, str] | None = None) -> Block:
    """The block of ``images``; ``unreadable`` are the positions of those that are missing, with the reasons."""
    pixels = images.reshape(len(images), images.shape[1] * images.shape[2], images.shape[3])
    squares = np.square(pixels, dtype=np.uint16)  # 255 x 255 fits
    sums = np.stack([pixels.sum(axis=1, dtype=np.int64), squares.sum(axis=1, dtype=np.int64)], axis=1)
    return Block(images, sums, unreadable or {})


@dataclass(frozen=True)
class Images:
    """Images that are to be kept.

    Attributes
    ----------
    blocks
        Gives them in turn.
    labels, splits
        Their classes and the codes of their splits, those of unreadable ones too.
    class_names
        Names of the classes.
    """

    blocks: Callable[[], Iterator[Block]]
    labels: NDArray[np.int64]
    splits: NDArray[np.uint8]
    class_names: tuple[str, ...]


class _UnusableError(Exception):
    """An entry that cannot be used; the message says why."""


def folder() -> Path:
    """The folder of the cache."""
    if chosen := os.environ.get(VARIABLE):
        return expanded(chosen)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "nni-earlyexit" / "data"


def size(key: Key, images: int) -> int:
    """Bytes of the decoded images."""
    return images * int(np.prod(key.shape, dtype=object))


def cached(key: Key, make: Callable[[], Images], source: str, say: Say) -> Raw:
    """The entry of ``key``; where there is none that can be used, what ``make`` gives, kept for the next time.

    ``source`` is the data's name in sentences. ``OSError`` in one sentence where the disk has no room.
    """
    place = folder() / str(key)
    work = place.with_name(f".{place.name}.part")
    while True:
        if (raw := _stored(place, key, say)) is not None:
            return raw
        with _alone(work, lambda: say(f"waits for another process that decodes the images of {source}")) as alone:
            if not alone:
                continue
            if (raw := _stored(place, key, lambda line: None)) is not None:
                return raw  # made by another process just now
            images = make()
            _write(work, key, images, source, say)
            shutil.rmtree(place, ignore_errors=True)  # one that could not be used
            put_folder(work, place)
            return _read(place, key)


@contextmanager
def _alone(work: Path, waits: Callable[[], object]) -> Iterator[bool]:
    """An empty folder to make an entry in; ``False`` if another process took it away meanwhile, as its entry or for good."""
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cache: {str(folder())!r} cannot be written to: {error.strerror}; {_ELSEWHERE}") from None
    try:
        claim = claimed(work, waits)
        directory = claim.__enter__()
    except FileNotFoundError:
        yield False
        return
    try:
        if not _is(directory, work):
            yield False
            return
        for left in work.iterdir():  # by a process that was killed
            if left.name != LOCK:
                left.unlink()
        try:
            yield True
        finally:
            if _is(directory, work):
                shutil.rmtree(work, ignore_errors=True)
    finally:
        claim.__exit__(None, None, None)


def _is(directory: int, path: Path) -> bool:
    """``True`` if ``path`` still is the open ``directory``."""
    try:
        return os.path.samestat(os.fstat(directory), path.stat())
    except FileNotFoundError:
        return False


def _write(work: Path, key: Key, images: Images, source: str, say: Say) -> None:
    """Fill the folder ``work``; ``OSError`` in one sentence when the disk is full."""
    count, needed = len(images.labels), size(key, len(images.labels))
    shown = "x".join(map(str, key.shape))
    free = shutil.disk_usage(work).free
    if free < needed:
        raise OSError(
            f"cache: {str(folder())!r} has {format_bytes(free)} free, and {count:,} images of {shown} need "
            f"{format_bytes(needed)}; {_ELSEWHERE}"
        )
    say(
        f"decodes {count:,} images of {source} to {shown}: {format_bytes(needed)} in {folder()}, kept for the next time"
    )
    start = time.monotonic()
    try:
        unreadable, of_images = _write_arrays(work, key, images, say)
        of_others = {name: checksum_of(read_array(work / f"{name}.npy")) for name in _ARRAYS[1:]}
        index = {
            "format": FORMAT,
            "source": source,
            "class_names": list(images.class_names),
            "unreadable": list(unreadable.items()),
            "checksums": {"images": of_images, **of_others},
        }
        write_json(work / "index.json", index)
    except OSError as error:
        raise OSError(
            f"cache: {str(folder())!r} cannot hold {count:,} images of {shown}, {format_bytes(needed)}: "
            f"{error.strerror or error}; {_ELSEWHERE}"
        ) from None
    say(f"decoded {count:,} images in {time.monotonic() - start:.0f} s")


def _write_arrays(work: Path, key: Key, images: Images, say: Say) -> tuple[dict[int, str], int]:
    """Write the arrays; the images that could not be read, with the reasons, and the checksum of the others."""
    count, done, last = len(images.labels), 0, time.monotonic()
    checksum = 0
    unreadable: dict[int, str] = {}
    sums: list[NDArray[np.int64]] = []
    with (work / "images.npy").open("wb") as file:
        _write_header(file, count, key.shape)
        for part in images.blocks():
            # not through a mapping, for a full disk would end the process there without a word
            file.write(part.images.data)
            checksum = checksum_of(part.images, checksum)
            sums.append(part.sums)
            unreadable |= part.unreadable
            done += len(part.images) + len(part.unreadable)
            if time.monotonic() - last > SILENCE_S:
                last = time.monotonic()
                say(f"decoded {done:,} of {count:,} images")
        file.seek(0)
        _write_header(file, count - len(unreadable), key.shape)
        file.flush()
        os.fsync(file.fileno())
    if len(unreadable) == count:
        raise ValueError(f"data: none of the {count:,} images can be read; {next(iter(unreadable.values()))}")
    left_out = list(unreadable)
    np.save(work / "labels.npy", np.delete(images.labels, left_out))
    np.save(work / "splits.npy", np.delete(images.splits, left_out))
    np.save(work / "sums.npy", np.concatenate(sums))
    return unreadable, checksum


def _write_header(file: BinaryIO, count: int, shape: tuple[int, ...]) -> None:
    """The header of ``images.npy``, whose length does not depend on ``count``."""
    channels, height, width = shape
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, height, width, channels)}
    np.lib.format.write_array_header_1_0(file, header)


def _stored(place: Path, key: Key, say: Say) -> Raw | None:
    """The entry in ``place``, if there is one that can be used."""
    if not place.exists():
        return None
    try:
        return _read(place, key)
    except _UnusableError as error:
        say(f"the cached images in {place} cannot be used and are made again: {error}")
        return None


def _read(place: Path, key: Key) -> Raw:
    """The entry in ``place``; ``_UnusableError`` for one that is not whole or of another format."""
    try:
        index = read_json(place / "index.json", "index.json")
        if index["format"] != FORMAT:
            raise _UnusableError(f"they are of format {index['format']}, and {FORMAT} is read")
        images = read_array(place / "images.npy", mapped=True)
        labels, splits, sums = (read_array(place / f"{name}.npy") for name in _ARRAYS[1:])
        for name, array in zip(_ARRAYS, (images, labels, splits, sums), strict=True):
            # this reads the images once, and a training does so in every epoch
            if index["checksums"][name] != checksum_of(array):
                raise _UnusableError(f"{name}.npy is not what was written")
        class_names = tuple(map(str, index["class_names"]))
        unreadable = {int(position): str(reason) for position, reason in index["unreadable"]}
        with suppress(OSError):  # the time of the last use
            os.utime(place / "index.json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _UnusableError(" ".join(str(error).split())) from None
    channels, height, width = key.shape
    shapes = [array.shape for array in (images, labels, splits, sums)]
    count = len(labels)
    if (
        shapes != [(count, height, width, channels), (count,), (count,), (count, 2, channels)]
        or images.dtype != np.uint8
    ):
        raise _UnusableError("their arrays do not fit together")
    return Raw(
        ArrayInputs(images, channels_last=True, sums=sums),
        labels,
        class_names,
        official(splits),
        pixels=True,
        unreadable=unreadable,
    )


def noted(kind: str, fingerprint: str, topic: str, find: Callable[[], Any], say: Say) -> Any:
    """The JSON value that ``find`` gave for these files; one process finds it, and later ones read it."""
    place = folder() / f"{kind}-{fingerprint[:16]}-{topic}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return find()  # no cache only costs time here
    with claimed(place, lambda: say("waits for another process that looks through the same images")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = read_json(place / "index.json", "index.json")
            if note["format"] == FORMAT:
                os.utime(place / "index.json")
                return note["value"]
        value = find()
        with suppress(OSError):
            write_json(place / "index.json", {"format": FORMAT, "value": value})
        return value


def official(splits: NDArray[np.uint8]) -> dict[str, NDArray[np.intp]]:
    """The positions that the data put into a split, by its name."""
    return {OFFICIAL[code]: np.flatnonzero(splits == code) for code in np.unique(splits) if OFFICIAL[code]}


def clear(older_than_s: float = 0) -> tuple[int, int]:
    """Remove entries that have not been used for so long; their number and bytes.

    Files and folders that the cache did not make stay, and so does an entry that a process is making.
    """
    if not folder().is_dir():
        return 0, 0
    number = freed = 0
    for entry in folder().iterdir():
        if not entry.is_dir() or not _NAME.fullmatch(entry.name):
            continue
        index = entry / "index.json"
        used = (index if index.exists() else entry).stat().st_mtime
        if time.time() - used < older_than_s or (entry.name.startswith(".") and _is_claimed(entry)):
            continue
        for name in (*_FILES, LOCK):
            path = entry / name
            if path.is_file():
                freed += path.stat().st_size
                path.unlink()
        with suppress(OSError):  # something else lies in it
            entry.rmdir()
            number += 1
    return number, freed


def _is_claimed(work: Path) -> bool:
    try:
        with claimed(work, _stop):
            return False
    except _UnusableError:
        return True


def _stop() -> None:
    raise _UnusableError("a process is making it")
