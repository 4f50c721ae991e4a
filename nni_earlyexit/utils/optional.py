"""Libraries that one needs only for some things, and the command that installs them."""

from __future__ import annotations

from types import ModuleType


def pandas() -> ModuleType:
    """The module; ``ModuleNotFoundError`` with the command that helps where it is not installed."""
    try:
        import pandas as module
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "pandas: it is not installed; pip install 'nni-earlyexit[pandas]' does that", name="pandas"
        ) from None
    return module
