"""Modules that do not lie where their names say.

In a checkout, search spaces and strategies lie beside this folder, in an installed copy inside it. Python started in a checkout
finds this folder first, even when another copy is installed, so it must find its own. Nothing else of the checkout becomes part
of the package.

And some modules have lain directly in this folder, where files of users import them from.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

PACKAGE = "nni_earlyexit"
BESIDE = ("search_spaces", "strategies")

MOVED = {
    "ask_tell": "search.ask_tell",
    "blocks": "nn.blocks",
    "choices": "nn.mutables",
    "confidence": "thresholds.confidence",
    "environment": "experiment.environment",
    "middleware": "integration.middleware",
    "oneshot": "space.oneshot",
    "tokens": "nn.tokens",
}
"""Modules that the documentation has named, and where they are now."""


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


class MovedFinder:
    """Finds the modules of ``MOVED`` under the names that they had; they are the same modules, not copies."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The protocol of ``sys.meta_path``."""
        package, _, module = name.rpartition(".")
        return ModuleSpec(name, self) if package == PACKAGE and module in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A module of its own, which :meth:`exec_module` replaces."""
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Put the module that has moved in the place of the one that is asked for."""
        place = f"{PACKAGE}.{MOVED[module.__name__.rpartition('.')[2]]}"
        warnings.warn(f"{module.__name__} is {place} now", FutureWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(place)


def install() -> None:
    """Let Python find them all."""
    sys.meta_path.append(MovedFinder())
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "setup.cfg").is_file() and all((checkout / name).is_dir() for name in BESIDE):
        sys.meta_path.insert(0, CheckoutFinder(checkout))
