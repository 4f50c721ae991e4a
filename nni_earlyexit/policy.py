"""The exit policy: at which exit an input leaves.

An input leaves at the first exit whose confidence is at least that exit's cutoff; the last exit takes the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nni_earlyexit import confidence as measures
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class ExitPolicy:
    """A confidence measure, optional temperatures, and one cutoff per exit.

    Parameters
    ----------
    cutoffs
        One per exit, first exit first. ``inf``: nothing leaves here. The last one is ``-inf``: everything leaves.
    confidence
        Name of a measure in :mod:`nni_earlyexit.confidence`.
    temperatures
        One per exit, by which the exit's logits are divided before the measure sees them; ``None`` for all one.
    """

    cutoffs: tuple[float, ...]
    confidence: str = "max_prob"
    temperatures: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.cutoffs:
            raise ValueError("cutoffs: at least one exit is needed")
        if self.cutoffs[-1] != -math.inf:
            raise ValueError(f"cutoffs: the last exit takes every input, so it must be -inf, not {self.cutoffs[-1]}")
        if any(math.isnan(cutoff) for cutoff in self.cutoffs):
            raise ValueError(f"cutoffs: {self.cutoffs} holds NaN; use inf for an exit that nothing leaves at")
        if -math.inf in self.cutoffs[:-1]:
            raise ValueError(
                f"cutoffs: {self.cutoffs} is -inf before the last exit, so that nothing reaches the exits after it; "
                "truncate the network there, or use the lowest confidence"
            )
        if self.temperatures is not None:
            if len(self.temperatures) != len(self.cutoffs):
                raise ValueError(f"temperatures: {len(self.temperatures)} given for {len(self.cutoffs)} exits")
            if not all(0 < temperature < math.inf for temperature in self.temperatures):
                raise ValueError(f"temperatures: {self.temperatures} must all be positive and finite")
        measures.get(self.confidence)

    def confidences(self, logits: NDArray[np.floating], exit: int) -> NDArray[np.floating]:
        """Confidence (inputs,) of ``exit`` in its logits (inputs, classes)."""
        if self.temperatures is not None:
            # a plain number keeps the precision of the logits
            logits = logits / float(self.temperatures[exit])
        return measures.get(self.confidence)(logits)

    def leaves(self, logits: NDArray[np.floating], exit: int) -> NDArray[np.bool_]:
        """Which inputs (inputs,) leave at ``exit``, given that exit's logits (inputs, classes)."""
        if math.isinf(self.cutoffs[exit]):
            return np.full(len(logits), exit == len(self.cutoffs) - 1)
        return self.confidences(logits, exit) >= self.cutoffs[exit]

    def exits(self, logits: ArrayLike) -> NDArray[np.intp]:
        """The exit (inputs,) that each input leaves at, given all logits (inputs, exits, classes)."""
        outputs = np.asarray(logits)
        if outputs.ndim != 3 or outputs.shape[1] != len(self.cutoffs):
            raise ValueError(
                f"logits: shape {outputs.shape} does not fit; (inputs, {len(self.cutoffs)} exits, classes) is needed"
            )
        leaves = np.stack([self.leaves(outputs[:, k], k) for k in range(len(self.cutoffs))], axis=1)
        return leaves.argmax(axis=1)

    def predict(self, logits: ArrayLike) -> NDArray[np.intp]:
        """The class (inputs,) that each input gets, given all logits (inputs, exits, classes)."""
        outputs = np.asarray(logits)
        return outputs[np.arange(len(outputs)), self.exits(outputs)].argmax(axis=-1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; infinite cutoffs are ``null``."""
        return {
            "confidence": self.confidence,
            "cutoffs": finite_or_none(self.cutoffs),
            "temperatures": None if self.temperatures is None else list(self.temperatures),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExitPolicy:
        """The inverse of :meth:`to_dict`: ``null`` is ``-inf`` at the last exit and ``inf`` at the others."""
        cutoffs = [math.inf if cutoff is None else float(cutoff) for cutoff in data["cutoffs"]]
        if data["cutoffs"] and data["cutoffs"][-1] is None:
            cutoffs[-1] = -math.inf
        temperatures = data.get("temperatures")
        return cls(tuple(cutoffs), data["confidence"], None if temperatures is None else tuple(temperatures))


def finite_or_none(values: Sequence[float]) -> list[float | None]:
    """``values`` as JSON can hold them: infinite ones are ``None``."""
    return [None if math.isinf(value) else float(value) for value in values]
