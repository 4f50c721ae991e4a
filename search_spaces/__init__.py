"""Ready-made search spaces, one file each; the file's name is the space's name.

Listing names imports nothing heavy; creating a space imports torch and NNI's NAS part.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from nni_earlyexit import identity
from nni_earlyexit.names import unknown

if TYPE_CHECKING:
    from nni_earlyexit.space import EarlyExitSpace


def names() -> list[str]:
    """Every ready-made space."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def check_name(name: str) -> None:
    """``ValueError`` with the nearest names unless ``name`` is that of a ready-made space or, with a dot, of a module."""
    if "." not in name and name not in names():
        raise unknown("space", name, names())


def find(name: str) -> type[EarlyExitSpace]:
    """The class of the space called ``name``: a ready-made one, or ``Space`` in a module of your own such as ``my.space``.

    Raises ``ValueError``, with the nearest names, when there is none.
    """
    check_name(name)
    if "." not in name:
        return importlib.import_module(f"{__name__}.{name}").Space
    try:
        found = importlib.import_module(name).Space
    except ModuleNotFoundError as error:
        raise ValueError(f"space: {name!r} cannot be imported: {error}; is its folder on PYTHONPATH?") from None
    except AttributeError:
        raise ValueError(f"space: the module {name!r} has no class Space") from None
    if found.name != name:
        raise ValueError(f"space: the class Space of {name!r} calls itself {found.name!r}; they must be the same")
    return found


def create(space: str, **arguments: Any) -> EarlyExitSpace:
    """The space called ``space``, with ``arguments``.

    ``space`` may be a whole identity such as ``mobilenetv3/1 resolution=224`` or ``timm:resnet18`` (see
    :mod:`nni_earlyexit.identity`). ``ValueError`` for an unknown name or argument and for a version that is not the
    installed one.
    """
    wanted = identity.parse(space)
    created = find(wanted.name)(**{**wanted.arguments, **arguments})
    if wanted.version not in (None, created.version):
        raise ValueError(
            f"space: {space!r} is not {created.identity()!r}, which is installed; write the search space file again with "
            f"'nni-earlyexit space {wanted.name}'"
        )
    return created
