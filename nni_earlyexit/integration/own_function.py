"""A function of the user's own, by its name."""

from __future__ import annotations

import importlib
from typing import Any


def own_function(name: str) -> Any:
    """The function that ``package.module.function`` names; ``ValueError`` in one sentence when there is none.

    Importing its module runs it, so the name has to come from the user and never from a stored file.
    """
    module, dot, function = name.rpartition(".")
    if not dot:
        raise ValueError(
            f"train: {name!r} is not possible; the name of a function in a module is, such as my.package.train"
        )
    try:
        value = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise ValueError(f"train: {module!r} cannot be imported: {error}; is its folder on PYTHONPATH?") from None
    except AttributeError:
        raise ValueError(f"train: the module {module!r} has no {function!r}") from None
    if not callable(value):
        raise ValueError(f"train: {name!r} is no function")
    return value
