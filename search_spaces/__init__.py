"""Ready-made search spaces, one file each; the file's name is the space's name.

Listing names imports nothing heavy; creating a space imports torch and NNI's NAS part.

A space may also be a module of the user's own, and importing a module runs it; ``module:my.package.build`` calls a function.
What a stored file names is only run if the user has allowed it (:func:`restore`); what the user names, is (:func:`create`).
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from nni_earlyexit.nn import timm_names
from nni_earlyexit.space import identity
from nni_earlyexit.utils.checks import unknown

if TYPE_CHECKING:
    from nni_earlyexit.space.base import EarlyExitSpace

GROUP = "nni_earlyexit.search_spaces"
"""Entry points under which installed packages offer spaces: ``my.tiny = my.tiny``, the space's name and its module."""

FUNCTION = "module"
"""The space whose model is a function of the user's own."""

TIMM = "timm"
"""The space whose model is one of timm's."""

_allowed: set[str] = set()


def ready_made() -> list[str]:
    """The spaces of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def installed() -> dict[str, str]:
    """The spaces that other packages offer, and their modules."""
    return {point.name: point.module for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """Every space that can be had by its name alone."""
    return sorted({*ready_made(), *installed()})


def allow(name: str) -> None:
    """Let stored files name ``name``, a module or a function in one, that :func:`restore` then imports or calls."""
    _allowed.add(name)


def allowed() -> list[str]:
    """Everything that stored files may name, for another process of the same user."""
    return sorted(_allowed)


def check_name(name: str) -> None:
    """``ValueError`` with the nearest names unless ``name`` is that of a space or, with a dot, of a module."""
    if "." not in name and name not in ready_made() and name not in installed():
        raise unknown("space", name, names())


def check_early(space: str) -> None:
    """``ValueError`` for an unknown space or model in the identity ``space``, before anything heavy is imported for it."""
    wanted = identity.parse(space)
    check_name(wanted.name)
    if wanted.name == TIMM and "model" in wanted.arguments:
        timm_names.check_early(str(wanted.arguments["model"]))


def find(name: str) -> type[EarlyExitSpace]:
    """The class of the space called ``name``: a ready-made one, or ``Space`` in a module of your own such as ``my.space``.

    Raises ``ValueError``, with the nearest names, when there is none.
    """
    check_name(name)
    if name in ready_made():
        return importlib.import_module(f"{__name__}.{name}").Space
    module = installed().get(name, name)
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"space: {module!r} cannot be imported: {error}; is its folder on PYTHONPATH?") from None
    space_class = getattr(imported, "Space", None)
    if space_class is None:
        raise ValueError(f"space: the module {module!r} has no class Space")
    if getattr(space_class, "name", None) != name:
        raise ValueError(
            f"space: the class Space of {module!r} calls itself {getattr(space_class, 'name', None)!r}; it must be {name!r}"
        )
    return space_class


def check_allowed(space: str) -> None:
    """``ValueError`` unless what ``space``, from a stored file, names may be imported.

    That is a ready-made space, one that an installed package offers, a module that the user has allowed, or one that is there
    already, so that nothing of it would run. Of a function, as in ``module:my.package.build``, it or its module must have been
    allowed, or named to :func:`create`: that its module is there says nothing of it.
    """
    name, _, arguments = identity.parse(space)
    check_name(name)
    if name == FUNCTION:
        function = str(arguments.get("model", ""))
        module = function.rpartition(".")[0]
        if function and not {function, module} & _allowed:
            raise ValueError(
                f"space: {function!r} is a Python function, which a stored file cannot choose to run; allow it, if you trust "
                f"it, with --allow-space {function}"
            )
    if "." in name and name not in _allowed and name not in sys.modules and name not in installed():
        raise ValueError(
            f"space: {name!r} is a Python module, which a stored file cannot choose to run; allow it, if you trust it, with "
            f"--allow-space {name}"
        )


def restore(space: str) -> EarlyExitSpace:
    """The space whose identity ``space`` stands in a stored file.

    Raises ``ValueError`` as :func:`create` does, and for a module that may not be imported (see :func:`check_allowed`).
    """
    check_allowed(space)
    return create(space)


def create(space: str, **arguments: Any) -> EarlyExitSpace:
    """The space called ``space``, with ``arguments``. For a name that comes from a stored file, use :func:`restore`.

    ``space`` may be a whole identity such as ``mobilenetv3/1 resolution=224`` or ``timm:resnet18`` (see
    :mod:`nni_earlyexit.space.identity`). ``ValueError`` for an unknown name or argument and for a version that is not the
    installed one.
    """
    wanted = identity.parse(space)
    given = {**wanted.arguments, **arguments}
    created = find(wanted.name)(**given)
    if wanted.name == FUNCTION:
        allow(str(given["model"]))  # the user has named it, and it has run
    if wanted.version not in (None, created.version):
        identity.check_same(space, created.identity())
    return created
