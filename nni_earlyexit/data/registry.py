"""The data sets that have a name."""

from __future__ import annotations

from pathlib import Path

from nni_earlyexit.utils.checks import unknown

DATA_SETS = ("digits",)
"""Data sets that have a name; any other is a ``.npz`` file."""


def check_data_name(name: str) -> None:
    """``ValueError`` or ``FileNotFoundError`` unless ``name`` is a data set or a ``.npz`` file; reads nothing."""
    if name.endswith(".npz"):
        if not Path(name).is_file():
            raise FileNotFoundError(f"data: there is no file {name!r}")
    elif name not in DATA_SETS:
        raise unknown("data", name, [*DATA_SETS, "a file.npz with arrays x and y"])
