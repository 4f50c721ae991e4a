"""Functions of a user's own, by their names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def named_function(field: str, name: str) -> Callable[..., Any]:
    """The function that ``package.module.function`` names; ``ValueError`` that names ``field`` when there is none.

    Importing its module runs it, so the name has to come from the user, or to be allowed by them.
    """
    module, dot, function = name.rpartition(".")
    if not dot:
        raise ValueError(
            f"{field}: {name!r} is not possible; a function in a Python module, such as my.package.name, is"
        )
    try:
        imported = importlib.import_module(module)
    except (ModuleNotFoundError, TypeError, ValueError) as error:  # the latter for names that begin with a dot
        raise ValueError(f"{field}: {module!r} cannot be imported: {error}; is its folder on PYTHONPATH?") from None
    if not hasattr(imported, function):
        raise ValueError(f"{field}: the module {module!r} has no {function!r}")
    value = getattr(imported, function)
    if not callable(value):
        raise ValueError(f"{field}: {name!r} is {type(value).__name__}, not a function")
    return value
