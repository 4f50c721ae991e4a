"""Files that are whole or not there, folders that one process works on at a time, and errors that name the file.

What is written is first a temporary file beside its place (:func:`beside`), and is put there at once. A process that is
killed meanwhile leaves that file; :func:`remove_parts` takes it away. Before it is put there its content is on the disk, and
when the writing returns, so is its name: a power cut leaves the old file or the new one.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import hashlib
import json
import math
import os
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EXCHANGE = 2
"""``RENAME_EXCHANGE`` of Linux' ``renameat2``."""
LOCK = ".lock"
"""File by which a folder is claimed where folders cannot be locked."""
_HERE = -100
"""``AT_FDCWD``: paths are as they are for any other call."""
_PART = re.compile(r"\..+\.([0-9a-f]{8})\.(\d+)\.(?:part|old)")
_STALE_S = 24 * 3600
"""Age from which a file counts as left behind whose process cannot be looked for, as it is on another machine."""


def write_json(path: Path, content: object) -> None:
    """Write ``content`` so that the file is either the old or the new one, whatever happens in between."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file, then put it in the place of ``path`` at once, and both on the disk.

    ``OSError`` names ``path``, whatever went wrong.
    """
    temporary = beside(path)
    try:
        try:
            write(temporary)
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def beside(path: Path, ending: str = "part") -> Path:
    """``.NAME.PLACE.PID.ending`` beside ``path``, which no other process has, also where machines share the folder."""
    return path.with_name(f".{path.name}.{_place_of_numbers()}.{os.getpid()}.{ending}")


@functools.cache
def _place_of_numbers() -> str:
    """The machine, or the container on it, in which processes have their numbers."""
    try:
        numbers = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        numbers = 0
    return f"{zlib.crc32(f'{socket.gethostname()} {numbers}'.encode()):08x}"


def is_left_behind(path: Path) -> bool:
    """``True`` for what :func:`beside` has named if its process is gone; if that is elsewhere, from the age of a day on."""
    match = _PART.fullmatch(path.name)
    if match is None:
        return False
    if match[1] == _place_of_numbers():
        return not _lives(int(match[2]))
    return time.time() - path.stat().st_mtime > _STALE_S


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write ``arrays`` as a compressed ``.npz`` file, whole or not at all."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    write_whole(path, write)


def put_folder(part: Path, place: Path) -> None:
    """Put the folder ``part`` in the place of ``place`` at once, and all that is in it on the disk.

    What was at ``place`` is at ``part`` afterwards. Where the file system cannot exchange two names, as NFS cannot, there is
    nothing at ``place`` for a moment, and what was there is beside it with the ending ``old``.
    """
    for folder, _, names in os.walk(part):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))
    if not place.exists():
        os.replace(part, place)
    elif not _exchanged(part, place):
        old = beside(place, "old")
        os.replace(place, old)
        try:
            os.replace(part, place)
        except BaseException:
            os.replace(old, place)
            raise
        os.replace(old, part)
    sync(place.parent)


def _exchanged(first: Path, second: Path) -> bool:
    """Exchange two names; ``False`` where the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not libc.renameat2(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), str(second))


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it that are not there, and put their names on the disk."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        sync(path.parent)


def sync(path: Path) -> None:
    """Let the disk hold the content of a file, or the names in a folder, before this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some file systems have nothing to do for a folder, and say so
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Remove what killed processes have left of files that they were writing to ``folder``. Living ones keep theirs."""
    with suppress(OSError):  # a clean-up that is not possible harms nobody
        for path in folder.iterdir():
            if path.name.endswith(".part") and is_left_behind(path):
                path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def read_text(path: Path, field: str) -> str:
    """The text of ``path``; ``ValueError`` or ``OSError`` that names ``field`` and file when it cannot be had."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{field}: {str(path)!r} is not text in UTF-8: {error.reason} at byte {error.start}") from None
    except FileNotFoundError:
        raise FileNotFoundError(f"{field}: there is no file {str(path)!r}") from None


def read_json(path: Path, field: str) -> Any:
    """The content of the JSON file ``path``; ``ValueError`` or ``OSError`` that names ``field`` and file if it has none."""
    try:
        return json.loads(read_text(path, field))
    except json.JSONDecodeError as error:
        raise ValueError(f"{field}: {str(path)!r} is not JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{field}: {str(path)!r} is not JSON that can be read: it is nested too deeply") from None


def read_arrays(path: Path, field: str) -> dict[str, NDArray[Any]]:
    """Arrays of the ``.npz`` file ``path``, without pickles; ``ValueError`` or ``FileNotFoundError`` that names ``field``."""
    if not path.is_file():
        raise FileNotFoundError(f"{field}: there is no file {str(path)!r}")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # of half a dozen modules, for a damaged file can hold anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{field}: {str(path)!r} is not an .npz file of plain arrays: {reason}") from None


def read_array(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """The array in the ``.npy`` file ``path``, without pickles, or ``mapped`` to it; ``ValueError`` if there is none."""
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception as error:  # of half a dozen modules, for a damaged file can hold anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{str(path)!r} is not an .npy file of a plain array: {reason}") from None


def checksum_of(array: NDArray[Any], before: int = 0) -> int:
    """CRC-32 of what is in ``array``, after that of what is ``before`` it."""
    return zlib.crc32(np.ascontiguousarray(array).data, before)


def checksum(path: Path) -> str:
    """SHA-256 of the file ``path``, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def checksum_of_names(folder: Path) -> str:
    """SHA-256 of the names and sizes of all files in ``folder``, in hexadecimal digits."""
    files = (path for path in folder.rglob("*") if path.is_file())
    lines = sorted(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\n" for path in files)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


@contextmanager
def claimed(folder: Path, waits: Callable[[], object] = lambda: None) -> Iterator[int]:
    """Wait until no other process works in ``folder``, and keep others waiting meanwhile.

    When NNI's manager is killed, its trials go on until their next report. The resumed experiment starts them again.
    ``waits`` is called first where there is something to wait for. Gives the descriptor of the folder.
    """
    with ExitStack() as opened:
        directory = os.open(folder, os.O_RDONLY)
        opened.callback(os.close, directory)
        try:
            _claim(directory, waits)
        except OSError as error:
            if error.errno == errno.EBADF:  # NFS locks nothing that is not open for writing, which no folder can be
                with suppress(OSError):
                    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
                    opened.callback(os.close, lock)
                    _claim(lock, waits)
            # else, a network file system that has no locks
        yield directory


def _claim(descriptor: int, waits: Callable[[], object]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waits()
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # gone with the process, however it ends


def finite_or_none(values: Sequence[float]) -> list[float | None]:
    """``values`` as JSON can hold them: infinite ones are ``None``."""
    return [None if math.isinf(value) else float(value) for value in values]
