"""A power cut at any moment of a writing, simulated: what a disk may then hold.

Only what ``fsync`` has seen is safe: the content of a file since its last ``fsync``, and a name (made, moved or removed)
since the last one of the folder that it is in. Of all else the disk may have everything, nothing, or of a file's content the
first half; what was safe stays where a file only becomes longer. Before and after every ``fsync`` and every move, both ends of
that are built as folders: the names that are safe and nothing else, and all names, whose content is cut where it is not safe.
What was there before the writing is safe, and so is the folder itself. Writing ends when its function returns: from then on, a
cut must not lose it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

Left: TypeAlias = "bytes | frozenset[tuple[str, Left]]"
"""What is left of a file, or of a folder."""
Check = Callable[[Path, bool], object]
"""Looks at a folder as it is after a cut; ``True`` if the writing had ended before."""


class Disk:
    """A folder, and what of it is safe.

    Attributes
    ----------
    cuts
        Power cuts that were simulated.
    """

    def __init__(self, folder: Path) -> None:
        self.cuts = 0
        self._folder = folder
        self._content: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._opened: dict[int, int] = {}
        for path in [folder, *folder.rglob("*")]:
            self._make_safe(path)

    @contextmanager
    def writing(self, places: Iterator[Path], check: Check) -> Iterator[None]:
        """Simulate cuts in what is written meanwhile; ``check`` gets each folder that differs, at the next of ``places``."""

        seen: set[tuple[Left, bool]] = set()
        looking = False  # what a check writes is not looked at

        def cut(ended: bool = False) -> None:
            nonlocal looking
            if looking:
                return
            looking = True
            for all_names in (False, True):
                for share in (0.0, 0.5):
                    left = self._left(self._number(self._folder), self._folder, all_names, share)
                    self.cuts += 1
                    if (left, ended) not in seen:
                        seen.add((left, ended))
                        place = next(places)
                        _make(left, place)
                        check(place, ended)
            looking = False

        def watched(call: Callable[..., Any], after: Callable[..., None] = lambda *_: None) -> Callable[..., Any]:
            def instead(*args: Any, **options: Any) -> Any:
                cut()
                result = call(*args, **options)
                after(*args)
                cut()
                return result

            return instead

        def synced(descriptor: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if not looking and path.is_relative_to(self._folder):
                self._make_safe(path)

        try:
            with (
                mock.patch("os.fsync", watched(os.fsync, synced)),
                mock.patch("os.replace", watched(os.replace)),
                mock.patch("os.rename", watched(os.rename)),
            ):
                yield
            cut(ended=True)
        finally:
            for descriptor in self._opened.values():
                os.close(descriptor)

    def _number(self, path: Path) -> int:
        """The inode of ``path``. It stays open, so that its number is not given to another file."""
        number = path.stat().st_ino
        if number not in self._opened:
            self._opened[number] = os.open(path, os.O_RDONLY)
        return number

    def _make_safe(self, path: Path) -> None:
        number = self._number(path)
        if path.is_dir():
            self._names[number] = {child.name: self._number(child) for child in path.iterdir()}
        else:
            self._content[number] = path.read_bytes()

    def _left(self, number: int, now: Path | None, all_names: bool, share: float) -> Left:
        """What is left of the file or folder ``number``, which is at ``now``, or was removed."""
        descriptor = self._opened[number]
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            present = {path.name: self._number(path) for path in now.iterdir()} if now is not None else {}
            names = present if all_names else self._names.get(number, {})
            return frozenset(
                (name, self._left(child, now / name if now and present.get(name) == child else None, all_names, share))
                for name, child in names.items()
            )
        current = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        safe = self._content.get(number, b"")
        kept = len(safe) if current.startswith(safe) else 0  # what is appended to a file takes nothing from it
        return current[: kept + int(share * (len(current) - kept))]


def _make(left: Left, place: Path) -> None:
    if isinstance(left, bytes):
        place.write_bytes(left)
        return
    place.mkdir()
    for name, part in left:
        _make(part, place / name)
