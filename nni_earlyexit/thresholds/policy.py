"""The exit policy: it decides at which exit an input leaves.

An input leaves at the first exit whose confidence is at least that exit's cutoff; the last exit takes the rest. An exit
whose cutoff is ``inf`` is dropped: nothing leaves there, so its branch need not be run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from nni_earlyexit.thresholds import confidence as measures
from nni_earlyexit.thresholds.learned_confidence import LearnedConfidence
from nni_earlyexit.utils.files import finite_or_none
from nni_earlyexit.utils.tables import as_html
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")


@dataclass(frozen=True)
class ExitPolicy:
    """A confidence measure, optional temperatures, and one cutoff per exit.

    Parameters
    ----------
    cutoffs
        Cutoff of each exit, first exit first. ``inf``: the exit is dropped. The last one is ``-inf``: everything leaves.
    confidence
        Name of a measure in :mod:`nni_earlyexit.thresholds.confidence`.
    temperatures
        Temperature of each exit, by which its logits are divided before the measure sees them; ``None`` for all one.
    models
        Model of each exit for the learned measure, ``None`` for the last and for dropped ones.
    """

    cutoffs: tuple[float, ...]
    confidence: str = "max_prob"
    temperatures: tuple[float, ...] | None = None
    models: tuple[LearnedConfidence | None, ...] | None = None

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
        measures.check(self.confidence)
        if (self.confidence == measures.LEARNED) != (self.models is not None):
            raise ValueError(f"models: they belong to confidence {measures.LEARNED!r}, here it is {self.confidence!r}")
        if self.models is not None:
            if len(self.models) != len(self.cutoffs):
                raise ValueError(f"models: {len(self.models)} given for {len(self.cutoffs)} exits")
            for exit in self.kept[:-1]:
                if self.models[exit] is None:
                    raise ValueError(f"models: exit {exit} has a cutoff and no model")

    def _rules(self) -> list[str]:
        """A few words on each exit: the confidence from which inputs leave there."""
        early = ["dropped" if cutoff == math.inf else f"from {cutoff:.4g}" for cutoff in self.cutoffs[:-1]]
        return [*early, "takes the rest"]

    def __repr__(self) -> str:
        rules = ", ".join(f"exit {exit} {rule}" for exit, rule in enumerate(self._rules()))
        scaled = "" if self.temperatures is None else ", with temperatures"
        return f"ExitPolicy by {self.confidence}{scaled}: {rules}"

    def _repr_html_(self) -> str:
        heads, columns = (
            ["exit", f"leave by {self.confidence}"],
            [[str(exit) for exit in range(len(self.cutoffs))], self._rules()],
        )
        if self.temperatures is not None:
            heads.append("temperature")
            columns.append([f"{temperature:.3g}" for temperature in self.temperatures])
        return as_html(heads, list(zip(*columns, strict=True)), "ExitPolicy")

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """The exits that are not dropped, the last one included."""
        return tuple(exit for exit, cutoff in enumerate(self.cutoffs) if cutoff < math.inf)

    def in_use(self, logits: ArrayLike) -> tuple[int, ...]:
        """The exits that are not dropped, up to the last one at which one of these inputs leaves.

        What lies behind it is dead weight for inputs such as these. ``logits`` is (inputs, exits, classes).
        """
        last = int(self.exits(logits).max())
        return tuple(exit for exit in self.kept if exit <= last)

    @property
    def looks_back(self) -> bool:
        """``True`` if the decision at an exit needs the logits of the kept exits before it too."""
        return self.confidence not in measures.MEASURES

    @property
    def confidence_macs(self) -> int:
        """Multiply-accumulates of the learned measure for an input that passes every kept exit; 0 for the others."""
        return sum(model.macs for model in self.models or () if model is not None)

    def costs_without_dropped(self, costs: Sequence[float], branch_costs: Sequence[float]) -> list[float]:
        """Cost of leaving at each exit when the branches of dropped exits are not run, in the unit of ``costs``, of all run."""
        saved = np.cumsum([0 if exit in self.kept else cost for exit, cost in enumerate(branch_costs)])
        return (np.asarray(costs) - saved).tolist()

    def pruned(self) -> ExitPolicy:
        """The same policy for the network without the dropped exits (:meth:`EarlyExitNetwork.prune`)."""

        def take(values: tuple[T, ...] | None) -> tuple[T, ...] | None:
            return None if values is None else tuple(values[exit] for exit in self.kept)

        return replace(
            self,
            cutoffs=tuple(self.cutoffs[exit] for exit in self.kept),
            temperatures=take(self.temperatures),
            models=take(self.models),
        )

    def leaves(self, logits: NDArray[np.floating], exit: int) -> NDArray[np.bool_]:
        """Mask (inputs,) of the inputs that leave at the kept ``exit``, given the logits of the kept exits up to it.

        ``logits`` is (inputs, kept exits up to this one, classes); those of this one alone do unless the policy looks back.
        """
        if exit == len(self.cutoffs) - 1:
            return np.ones(len(logits), dtype=bool)
        return self._confidence(logits, exit) >= self.cutoffs[exit]

    def _confidence(self, logits: NDArray[np.floating], exit: int) -> NDArray[np.floating]:
        measure = measures.MEASURES.get(self.confidence)
        if measure is not None:  # of this exit alone; sliced once, for with one input each call of numpy counts
            own = logits[:, -1]
            return measure(own if self.temperatures is None else own / self.temperatures[exit])
        if self.temperatures is not None:
            logits = scaled(logits, [self.temperatures[k] for k in self.kept if k <= exit])
        model = None if self.models is None else self.models[exit]
        return measures.of_kept_exits(self.confidence, logits)[:, -1] if model is None else model(logits)

    def confidences(self, logits: ArrayLike) -> NDArray[np.floating]:
        """Confidences (inputs, kept exits but the last), given all logits (inputs, exits, classes)."""
        outputs = np.asarray(logits)
        if outputs.ndim != 3 or outputs.shape[1] != len(self.cutoffs):
            raise ValueError(
                f"logits: shape {outputs.shape} does not fit; (inputs, {len(self.cutoffs)} exits, classes) is needed"
            )
        outputs = outputs[:, self.kept]
        columns = [self._confidence(outputs[:, : i + 1], exit) for i, exit in enumerate(self.kept[:-1])]
        return np.stack(columns, axis=1) if columns else np.empty((len(outputs), 0))

    def exits(self, logits: ArrayLike) -> NDArray[np.intp]:
        """The exit (inputs,) that each input leaves at, given all logits (inputs, exits, classes)."""
        return first_sure_exit(self.confidences(logits), self.cutoffs, self.kept)

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
            "models": None
            if self.models is None
            else [None if model is None else model.to_dict() for model in self.models],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExitPolicy:
        """The inverse of :meth:`to_dict`: ``null`` is ``-inf`` at the last exit and ``inf`` at the others."""
        cutoffs = [math.inf if cutoff is None else float(cutoff) for cutoff in data["cutoffs"]]
        if data["cutoffs"] and data["cutoffs"][-1] is None:
            cutoffs[-1] = -math.inf
        temperatures, models = data.get("temperatures"), data.get("models")
        return cls(
            tuple(cutoffs),
            data["confidence"],
            None if temperatures is None else tuple(temperatures),
            None if models is None else tuple(None if m is None else LearnedConfidence.from_dict(m) for m in models),
        )


def first_sure_exit(confidences: NDArray[np.floating], cutoffs: ArrayLike, kept: Sequence[int]) -> NDArray[np.intp]:
    """The exit (inputs,) that each input leaves at, from the confidences (inputs, kept exits but the last)."""
    own = np.asarray(cutoffs)[list(kept)]
    leaves = np.append(confidences, np.zeros((len(confidences), 1)), axis=1) >= own
    return np.array(kept)[leaves.argmax(axis=1)]


def scaled(logits: NDArray[np.floating], temperatures: Sequence[float]) -> NDArray[np.floating]:
    """Logits (inputs, exits, classes) divided by each exit's temperature, in a floating type of their own precision."""
    kind = logits.dtype if np.issubdtype(logits.dtype, np.floating) else np.float64
    return logits / np.array(temperatures, dtype=kind)[:, None]
