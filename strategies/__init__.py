"""Strategies that explore a space, one file each; the file's name is the strategy's name.

Every strategy is an ask/tell object (see :mod:`nni_earlyexit.search.ask_tell`) and knows no NNI.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING, Any

from nni_earlyexit.utils.checks import check_known, unknown

if TYPE_CHECKING:
    from nni_earlyexit.search.ask_tell import AskTell


def names() -> list[str]:
    """Every strategy."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def check_name(name: str) -> None:
    """``ValueError`` with the nearest names unless ``name`` is that of a strategy."""
    if name not in names():
        raise unknown("strategy", name, names())


def create(name: str, **arguments: Any) -> AskTell:
    """The strategy called ``name``, constructed with ``arguments``; ``ValueError`` when either is unknown."""
    check_name(name)
    strategy: type[AskTell] = importlib.import_module(f"{__name__}.{name}").Strategy
    check_known(f"strategy_arguments: {name}", arguments, inspect.signature(strategy).parameters)
    return strategy(**arguments)
