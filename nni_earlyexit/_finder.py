"""The two packages that lie beside this folder in a checkout, and inside it in an installed copy.

Python started in a checkout finds this folder first, even when another copy is installed, so it must find its own search
spaces and strategies. Nothing else of the checkout becomes part of the package.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

PACKAGE = "nni_earlyexit"
BESIDE = ("search_spaces", "strategies")


class CheckoutFinder:
    """Finds the packages of ``BESIDE`` in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._packages = {f"{PACKAGE}.{name}": folder / name for name in BESIDE}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The protocol of ``sys.meta_path``."""
        folder = self._packages.get(name)
        if folder is None:
            return None
        return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])


def install() -> None:
    """Let Python find them, when this folder is that of a checkout."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "setup.cfg").is_file() and all((checkout / name).is_dir() for name in BESIDE):
        sys.meta_path.insert(0, CheckoutFinder(checkout))
