"""Ready-made search spaces, one file each; the file's name is the space's name.

Listing names imports nothing heavy; creating a space imports torch and NNI's NAS part.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from nni_earlyexit.names import unknown

if TYPE_CHECKING:
    from nni_earlyexit.space import EarlyExitSpace


def names() -> list[str]:
    """Every ready-made space."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def create(name: str) -> EarlyExitSpace:
    """The space called ``name``; ``ValueError`` with the nearest names when there is none."""
    if name not in names():
        raise unknown("space", name, names())
    module = importlib.import_module(f"{__name__}.{name}")
    return module.Space()
