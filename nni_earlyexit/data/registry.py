"""The kinds of data sets, one file each in :mod:`nni_earlyexit.data.sources`; the file's name is the kind's name.

A kind is named alone (``cifar10``) or with where its data lie (``folder:PATH``). Listing and checking imports nothing heavy.
Each file has

- ``PATH``: what stands behind its colon, in words; ``""`` where there is nothing,
- ``RESIZES``: ``True`` if its images are files, which are made as large as the network takes them; then
  ``listing(settings, path)`` lists them,
- where there is no path, ``files(settings)``: what lies in ``root`` of it,
- ``check(settings, path)``: ``ValueError`` or ``FileNotFoundError`` for data that are not there; it reads nothing,
- ``read(settings, path, say)``: the :class:`~nni_earlyexit.data.raw.Raw` data.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

from nni_earlyexit.data import sources
from nni_earlyexit.utils.checks import unknown


class Source(NamedTuple):
    """A data set as a user names it: its kind and, if the kind has one, the path."""

    kind: str
    path: str

    @property
    def module(self) -> ModuleType:
        """The file of its kind."""
        return importlib.import_module(f"{sources.__name__}.{self.kind}")


def kinds() -> list[str]:
    """The kinds of data sets."""
    return sorted(module.name for module in pkgutil.iter_modules(sources.__path__) if not module.name.startswith("_"))


def names() -> Mapping[str, str]:
    """Every kind as a user writes it, such as ``cifar10`` and ``folder:PATH``."""
    modules = {kind: Source(kind, "").module for kind in kinds()}
    return {kind: f"{kind}:{module.PATH}" if module.PATH else kind for kind, module in modules.items()}


def parse(name: str) -> Source:
    """The kind and path in ``name``; ``ValueError`` with the nearest names for an unknown kind."""
    kind, colon, path = name.partition(":")
    if not colon and name.endswith(".npz"):
        return Source("npz", name)
    if kind not in kinds():
        raise unknown("data", name, sorted({*names().values(), *kinds()}))
    source = Source(kind, path)
    wanted = source.module.PATH
    if bool(path) != bool(wanted):
        raise ValueError(f"data: {name!r} is not possible; {names()[kind]} is")
    return source
