"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """``path`` with the home in place of a ``~`` at its beginning; as it is where there is no such user."""
    return Path(os.path.expanduser(path))
