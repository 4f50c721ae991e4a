"""Sentences in text files in UTF-8, one ``sentence<TAB>label`` a line.

A file is split by the seed. A folder holds ``train.tsv``, ``test.tsv`` and perhaps ``dev.tsv``, the validation split. Labels
are integers from 0, or words, which are the names of the classes. A first line ``sentence<TAB>label`` is a heading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nni_earlyexit.data.raw import Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils.files import read_text
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import Say

PATH = "PATH"
RESIZES = False

FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
"""The files of a folder by their split."""


class _Line(NamedTuple):
    """One line, and where it stands, for sentences about it."""

    place: str
    sentence: str
    label: str


def check(settings: DataSettings, path: str) -> None:
    """``FileNotFoundError`` unless the file, or the folder with what it needs, is there."""
    place = expanded(path)
    if not place.is_dir():
        if not place.is_file():
            raise FileNotFoundError(f"data: there is no file {path!r}")
        return
    for part in ("train", "test"):
        if not (place / FILES[part]).is_file():
            raise FileNotFoundError(f"data: there is no file {FILES[part]!r} in the folder {path!r}")


def read(settings: DataSettings, path: str, say: Say) -> Raw:
    """The sentences."""
    place = expanded(path)
    if place.is_dir():
        parts = {part: list(_lines(place / name)) for part, name in FILES.items() if (place / name).exists()}
    else:
        parts = {"train": list(_lines(place))}
    names, as_numbers = _classes(path, parts["train"])
    numbers = {name: number for number, name in enumerate(names)}
    every: list[_Line] = []
    official = {}
    for part, lines in parts.items():
        for line in lines:
            if line.label not in numbers:
                raise ValueError(f"data: {line.place} has the label {line.label!r}, which the training sentences lack")
        if part != "train":
            official[part] = np.arange(len(every), len(every) + len(lines))
        every += lines
    labels = np.array([numbers[line.label] for line in every], dtype=np.int64)
    return Raw(None, labels, () if as_numbers else tuple(names), official, sentences=[line.sentence for line in every])


def _lines(path: Path) -> Iterator[_Line]:
    empty = True
    # only line ends part lines, unlike splitlines, which parts at characters that a sentence may hold
    for number, text in enumerate(read_text(path, "data").removeprefix("\ufeff").split("\n"), start=1):
        parts = text.rstrip("\r").split("\t")
        if not text.strip() or (number == 1 and [part.strip().lower() for part in parts] == ["sentence", "label"]):
            continue
        place = f"line {number} of {str(path)!r}"
        if len(parts) != 2 or not parts[0].strip() or not parts[1].strip():
            raise ValueError(f"data: {place} is no sentence, one tab and a label")
        empty = False
        yield _Line(place, parts[0].strip(), _plain(parts[1].strip()))
    if empty:
        raise ValueError(f"data: {str(path)!r} holds no line with a sentence, a tab and a label")


def _plain(label: str) -> str:
    """An integer without leading zeros and signs, so that equal ones are equal text."""
    return str(int(label)) if _is_integer(label) else label


def _is_integer(label: str) -> bool:
    return label.isascii() and label.removeprefix("-").isdigit()


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _classes(path: str, lines: Sequence[_Line]) -> tuple[list[str], bool]:
    """The labels in the order of their classes, and ``True`` if they are integers."""
    as_numbers = _is_integer(lines[0].label)
    for line in lines:
        if _is_integer(line.label) != as_numbers or (not as_numbers and _is_number(line.label)):
            wanted = f"integers like the {lines[0].label!r} of {lines[0].place} are" if as_numbers else "words are"
            raise ValueError(f"data: {line.place} has the label {line.label!r}, which is not possible; {wanted}")
    labels = {line.label for line in lines}
    if len(labels) < 2:
        raise ValueError(f"data: {path!r} has 1 class; at least 2 are needed")
    if not as_numbers:
        return sorted(labels), False
    ordered = sorted(map(int, labels))
    if ordered != list(range(len(ordered))):
        raise ValueError(
            f"data: in {path!r}, labels run from {ordered[0]} to {ordered[-1]} with {len(ordered)} different ones; "
            f"they must be 0 to {len(ordered) - 1}"
        )
    return list(map(str, ordered)), True
