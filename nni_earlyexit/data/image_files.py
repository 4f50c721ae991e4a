"""Image files in folders of classes, listed without opening them.

===================== ==================================================================================================
``CLASS/...``         one folder of class folders, which is split by the seed
``train/CLASS/...``   beside ``test/`` or ``val/``, the test split; where both are there, ``val/`` is the validation split.
                      :data:`NAMES` has other names for them
===================== ==================================================================================================

Images may lie deeper in their class's folder. Files and folders whose names begin with a dot are left out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Those of torchvision's ``ImageFolder``, in lower or upper case."""
_ENDINGS = tuple(map(os.fsencode, ENDINGS))
OFFICIAL = ("", "validation", "test")
"""The split that the data put an input into, by its code; nothing for inputs that are split by the seed."""
NAMES = {"train": ("train", "training"), "test": ("test", "testing"), "val": ("val", "valid", "validation", "dev")}
"""Names of the folders of splits, in small or capital letters."""
SAMPLES = 64
"""So many files are looked into for the fingerprint."""


_File: TypeAlias = "tuple[bytes, int, int]"
"""Name, size in bytes and time of the last change."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files and their classes.

    Attributes
    ----------
    root
        The folder.
    names
        Names (images,) of the files from there, as bytes: a million strings would be copied into every process that reads.
    labels
        Classes (images,).
    class_names
        Names of the classes.
    splits
        Codes (images,) of the split that each lies in, by :data:`OFFICIAL`.
    stamps
        Sizes in bytes and times of the last change (images, 2).
    left_out
        Folders beside those of the splits, which are not looked at.
    """

    root: str
    names: NDArray[np.bytes_]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    splits: NDArray[np.uint8]
    stamps: NDArray[np.int64]
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def path(self, position: int) -> str:
        """The path of one image."""
        return os.path.join(self.root, os.fsdecode(self.names[position]))

    def without(self, positions: NDArray[np.integer]) -> ImageFiles:
        """The same without those at ``positions``."""
        return replace(
            self,
            **{
                name: np.delete(getattr(self, name), positions, axis=0)
                for name in ("names", "labels", "splits", "stamps")
            },
        )

    def fingerprint(self) -> str:
        """Digits that differ where files do, by names, sizes and times of the last change, and by the content of a few.

        The content tells apart what was unpacked with the same times, such as files from an archive that has none.
        """
        digest = hashlib.sha256(b"\n".join(self.names.tolist()))
        digest.update(np.ascontiguousarray(self.stamps).tobytes() + self.splits.tobytes())
        for position in np.unique(np.linspace(0, len(self) - 1, SAMPLES).astype(int)):
            # one that may not be read is named when it is to be decoded
            with suppress(OSError), open(self.path(int(position)), "rb") as file:
                digest.update(file.read(1 << 16))
        return digest.hexdigest()


def listed(folder: str, parts: Mapping[str, str] | None = None) -> ImageFiles:
    """The images in ``folder``; ``ValueError`` in one sentence for classes that cannot be learned.

    ``parts`` are the split of each folder in it, where it is not for its names to say.
    """
    root = os.path.abspath(os.path.expanduser(folder))
    place = os.path.realpath(root)
    left_out: tuple[str, ...] = ()
    if parts is None:
        parts, left_out = _parts(folder, root)
    train, *_ = parts
    class_names = _folders(os.path.join(root, train))
    if len(class_names) < 2:
        raise ValueError(
            f"data: {folder!r} has {len(class_names)} class{'' if len(class_names) == 1 else 'es'}; a folder for each of at "
            "least 2 classes is needed"
        )
    numbers = {name: number for number, name in enumerate(class_names)}
    files: list[_File] = []
    counts: list[int] = []
    codes: list[tuple[int, int]] = []
    for part, split in parts.items():
        inside = _folders(os.path.join(root, part))
        if not inside:
            raise ValueError(f"data: {folder!r} has no folders of classes in {part}/; one for each class is needed")
        for name in inside:
            if name not in numbers:
                raise ValueError(f"data: {folder!r} has the class {name!r} in {part}/, which {train}/ lacks")
            inner = os.path.join(part, name)
            images = sorted(_images(os.fsencode(os.path.join(root, inner)), os.fsencode(inner) + b"/", (place,)))
            if not images:
                raise ValueError(
                    f"data: {folder!r} has no images of class {inner!r}; files that end with {', '.join(ENDINGS)} are images"
                )
            files += images
            counts.append(len(images))
            codes.append((numbers[name], OFFICIAL.index(split)))
    labels, splits = np.repeat(np.array(codes, dtype=np.int64), counts, axis=0).T
    return ImageFiles(
        root,
        np.array([name for name, _, _ in files], dtype=np.bytes_),
        labels.copy(),
        tuple(class_names),
        splits.astype(np.uint8),
        np.array([(size, changed) for _, size, changed in files], dtype=np.int64),
        left_out,
    )


def _parts(folder: str, root: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The folders with class folders in them, the training split first, and the split that each is, and other folders.

    The split is ``""`` for what is split by the seed.
    """
    inside = _folders(root)
    named = {split: [name for name in inside if name.lower() in names] for split, names in NAMES.items()}
    held_out = [*named["test"], *named["val"]]
    if not named["train"] or not held_out:
        # the other names may be those of classes
        _check_not_alone(folder, inside)
        return {"": ""}, ()
    for names in named.values():
        if len(names) > 1:
            raise ValueError(
                f"data: {folder!r} has {names[0]}/ and {names[1]}/, which mean the same split; one is needed"
            )
    splits = ("test", "validation") if len(held_out) == 2 else ("test",)
    parts = {named["train"][0]: "", **dict(zip(held_out, splits, strict=True))}
    return parts, tuple(name for name in inside if name not in parts)


def _check_not_alone(folder: str, inside: Sequence[str]) -> None:
    """``ValueError`` for a split without those that it needs beside it."""
    if "train" in inside:
        raise ValueError(
            f"data: {folder!r} has train/ and neither test/ nor val/ beside it; folder:{Path(folder) / 'train'} is split by "
            "the seed"
        )
    for name in ("test", "val"):
        if name in inside:
            raise ValueError(f"data: {folder!r} has {name}/ without train/ beside it; both are needed")


def _folders(path: str) -> list[str]:
    with _looking_at(path), os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def _images(path: bytes, prefix: bytes, above: tuple[str, ...]) -> list[_File]:
    """The images in a folder and in those inside it; their names begin with ``prefix``.

    ``above`` are the real paths of the folders that it was reached through.
    """
    images: list[_File] = []
    place = os.path.realpath(os.fsdecode(path))
    if place in above:
        raise ValueError(f"data: {os.fsdecode(path)!r} is a link to a folder that it is in; remove it")
    with _looking_at(os.fsdecode(path)), os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(b"."):
                continue
            if name.lower().endswith(_ENDINGS) and entry.is_file():
                stat = entry.stat()
                images.append((prefix + name, stat.st_size, stat.st_mtime_ns))
            elif entry.is_dir():
                images += _images(entry.path, prefix + name + b"/", (*above, place))
    return images


@contextmanager
def _looking_at(path: str) -> Iterator[None]:
    """``ValueError`` in one sentence where a folder, or what is in it, cannot be looked at."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"data: {path!r} cannot be read: {error.strerror}") from None
