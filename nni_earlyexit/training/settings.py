"""How a trial trains and judges a network: checked plain data, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from nni_earlyexit.data.registry import check_data_name
from nni_earlyexit.search.goal import Goal
from nni_earlyexit.thresholds import confidence as measures

MAX_THREADS = 1024
"""Far above what any machine makes use of; torch tries to start as many as it is told."""
MAX_INPUT = 2**24
"""Numbers in one input: 3 x 2048 x 2048 pixels are fewer."""


@dataclass(frozen=True)
class Settings:
    """Arguments of :class:`nni_earlyexit.EarlyExitEvaluator`, which documents them; ``ValueError`` for one that cannot work."""

    data: str = "digits"
    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 0.01
    exit_weights: tuple[float, ...] | None = None
    max_avg_macs: float | None = None
    max_full_macs: float | None = None
    max_params: float | None = None
    max_activation_bytes: float | None = None
    max_latency_s: float | None = None
    latency_table: str | None = None
    input_shape: tuple[int, ...] | None = None
    min_accuracy: float | None = None
    max_drop: float | None = None
    tolerance: float | None = None
    weight: float | None = None
    knee: bool = False
    confidence: str = "max_prob"
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        check_data_name(self.data)
        for name, least, most in (
            ("epochs", 1, None),
            ("batch_size", 2, None),
            ("seed", 0, 2**32 - 1),
            ("threads", 1, MAX_THREADS),
        ):
            value = getattr(self, name)
            if value is None and name == "threads":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least or value > (most or value):
                to = "" if most is None else f" to {most}"
                raise ValueError(f"{name}: {value!r} is not possible; a whole number from {least}{to} is")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate: {self.learning_rate!r} is not possible; a positive number is")
        if self.exit_weights is not None and not all(0 <= weight < math.inf for weight in self.exit_weights):
            raise ValueError(f"exit_weights: {list(self.exit_weights)} is not possible; numbers from 0 are")
        if self.input_shape is not None and (
            len(self.input_shape) not in (1, 3) or not all(isinstance(n, int) and n > 0 for n in self.input_shape)
        ):
            raise ValueError(f"input_shape: {list(self.input_shape)} is not possible; 3 32 32 is, for colour images")
        if self.input_shape is not None and math.prod(self.input_shape) > MAX_INPUT:
            raise ValueError(
                f"input_shape: {list(self.input_shape)} is not possible; at most {MAX_INPUT:,} numbers an input are"
            )
        if self.latency_table is not None and not Path(self.latency_table).is_file():
            raise FileNotFoundError(f"latency_table: there is no file {self.latency_table!r}")
        if self.max_latency_s is not None and self.latency_table is None:
            raise ValueError("max_latency_s needs a latency_table; 'nni-earlyexit latency' makes one")
        measures.check(self.confidence)
        _ = self.goal

    @property
    def goal(self) -> Goal:
        """Limits, and which point of a network's trade-off is reported."""
        return Goal(**{field.name: getattr(self, field.name) for field in fields(Goal)})

    def with_whole_paths(self) -> Settings:
        """The same with paths from ``/``, which mean the same file wherever they are read later."""
        table = self.latency_table
        return replace(
            self,
            data=str(Path(self.data).resolve()) if self.data.endswith(".npz") else self.data,
            latency_table=None if table is None else str(Path(table).resolve()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Settings:
        """The inverse of :meth:`to_dict`."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**plain)
