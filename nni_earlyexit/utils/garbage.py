"""Python's search for garbage, which takes a part of the time in which torch and its like are imported."""

from __future__ import annotations

import gc

MOST = 200_000
"""New objects that may be there before a search; torch, torchvision, timm and Lightning make some millions that stay."""

_usual: list[tuple[int, int, int]] = []


def search_less_often() -> None:
    """Let this process look for garbage less often, until :func:`search_as_usual`.

    For programs, before their imports: a library leaves this to whoever runs it.
    """
    if not _usual:
        _usual.append(gc.get_threshold())
    gc.set_threshold(MOST)


def search_as_usual() -> None:
    """Undo :func:`search_less_often`: few objects of a training, in circles, hold much memory."""
    if _usual:
        gc.set_threshold(*_usual.pop())
