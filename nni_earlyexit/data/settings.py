"""The data of a task, as settings: checked plain data, without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from nni_earlyexit.data.registry import check_data_name
from nni_earlyexit.utils.checks import Check, is_whole, optional
from nni_earlyexit.utils.options import check_options, option

MAX_INPUT = 2**24
"""Numbers in one input: 3 x 2048 x 2048 pixels are fewer."""

_SHAPE = Check(
    "3 32 32",
    lambda v: isinstance(v, (tuple, list)) and len(v) in (1, 3) and all(is_whole(n) and n > 0 for n in v),
    int,
    "is, for colour images",
)


@dataclass(frozen=True)
class DataSettings:
    """A data set and the shape of its inputs; ``ValueError`` or ``FileNotFoundError`` for one that cannot be."""

    source: str = option(
        "digits",
        "name of a data set, or a .npz file with arrays x (inputs, ...) and y (inputs,)",
        Check("a name or a file", lambda v: isinstance(v, str)),
        name="data",
    )
    input_shape: tuple[int, ...] | None = option(
        None, "shape that images are resized to, such as 3 32 32", optional(_SHAPE), many=True
    )

    def __post_init__(self) -> None:
        check_options(self)
        check_data_name(self.source)
        if self.input_shape is not None and math.prod(self.input_shape) > MAX_INPUT:
            raise ValueError(
                f"input_shape: {list(self.input_shape)} is not possible; at most {MAX_INPUT:,} numbers an input are"
            )

    def with_whole_paths(self) -> DataSettings:
        """The same with a path from ``/``, which means the same file wherever it is read later."""
        return replace(self, source=str(Path(self.source).resolve())) if self.source.endswith(".npz") else self
