"""Learned confidence: what is gained by leaving at an exit instead of going on to the last one, predicted by a small model.

The model is a ridge regression of "score here minus score at the last exit" on what this exit and the kept exits before
it say. Which of an input's exits are right is partly seen from which of them agree; no function of one exit's
probabilities knows that. A linear model is small enough to run after every exit, and is plain numbers in a policy's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
PENALTY = 1.0
INPUTS_PER_CLASS = 50
"""Inputs per class from which on every class has an offset of its own."""

Array: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True)
class LearnedConfidence:
    """The fitted model of one exit: confidence = intercept + coefficients x :func:`features`, then the class's offset.

    ``offsets`` is one number per class, or empty.
    """

    intercept: float
    coefficients: tuple[float, ...]
    offsets: tuple[float, ...] = ()

    def __call__(self, logits: Array) -> Array:
        """Confidence (inputs,) of the last of the exits in ``logits`` (inputs, kept exits so far, classes)."""
        return self.of(features(logits), logits[:, -1].argmax(axis=-1))

    def of(self, seen: Array, answer: NDArray[np.intp]) -> Array:
        """The same, of :func:`features` and the exit's classes (inputs,)."""
        confidence = self.intercept + seen @ np.array(self.coefficients)
        return confidence + np.array(self.offsets)[answer] if self.offsets else confidence

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the model for one input, beside the probabilities that it takes its features from."""
        return len(self.coefficients)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "intercept": self.intercept,
            "coefficients": list(self.coefficients),
            "offsets": list(self.offsets),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LearnedConfidence:
        """The inverse of :meth:`to_dict`."""
        return cls(
            float(data["intercept"]), tuple(map(float, data["coefficients"])), tuple(map(float, data["offsets"]))
        )


def features(logits: Array) -> Array:
    """What the model sees (inputs, features) of the kept exits so far, (inputs, exits, classes), the last being its own.

    Of its own exit: the three largest log-probabilities, entropy, largest logit, energy, margin and probability. Of every
    exit before: log-probability of this exit's class, whether it agrees, and its own largest log-probability.
    """
    if not np.issubdtype(logits.dtype, np.floating):
        logits = logits.astype(np.float64)
    own = logits[:, -1]
    peak = own.max(axis=-1)
    shifted = own - peak[:, None]
    energy = np.log(np.exp(shifted).sum(axis=-1))
    log_probability = shifted - energy[:, None]
    largest = -np.partition(-log_probability, range(min(3, own.shape[1])), axis=-1)[:, :3]
    entropy = -(np.exp(log_probability) * log_probability).sum(axis=-1)
    columns = [*largest.T, entropy, peak, energy + peak, largest[:, 0] - largest[:, 1], np.exp(largest[:, 0])]

    inputs, answer = np.arange(len(own)), own.argmax(axis=-1)
    for k in range(logits.shape[1] - 1):
        earlier = logits[:, k] - logits[:, k].max(axis=-1, keepdims=True)
        most = -np.log(np.exp(earlier).sum(axis=-1))
        columns += [earlier[inputs, answer] + most, earlier.argmax(axis=-1) == answer, most]
    return np.stack(columns, axis=1).astype(np.float64)


def fit(logits: Array, gain: Array, weights: Array) -> LearnedConfidence:
    """The model for ``gain`` (inputs,): score at the last of the exits in ``logits`` minus score at the network's last.

    ``logits`` is (inputs, kept exits so far, classes), ``weights`` (inputs,).
    """
    return _fit(features(logits), logits[:, -1].argmax(axis=-1), logits.shape[2], gain, weights)


def _fit(seen: Array, answer: NDArray[np.intp], classes: int, gain: Array, weights: Array) -> LearnedConfidence:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(seen, sample_weight=weights)
    columns = scaler.transform(seen)
    if len(gain) >= INPUTS_PER_CLASS * classes:
        columns = np.append(columns, answer[:, None] == np.arange(classes), axis=1)
    ridge = Ridge(alpha=PENALTY).fit(columns, gain, sample_weight=weights)
    scaled = ridge.coef_[: seen.shape[1]] / scaler.scale_
    return LearnedConfidence(
        float(ridge.intercept_ - scaled @ scaler.mean_),
        tuple(scaled.tolist()),
        tuple(ridge.coef_[seen.shape[1] :].tolist()),
    )


def cross_fitted(logits: Array, gain: Array, weights: Array, seed: int) -> Array:
    """Confidence (inputs,), each from a model that was fitted without that input's fifth of the data."""
    from sklearn.model_selection import KFold

    folds = min(FOLDS, len(gain))
    if folds < 2:
        return np.zeros(len(gain))
    seen, answer, classes = features(logits), logits[:, -1].argmax(axis=-1), logits.shape[2]
    confidence = np.empty(len(gain))
    for fitted, judged in KFold(folds, shuffle=True, random_state=seed).split(gain):
        model = _fit(seen[fitted], answer[fitted], classes, gain[fitted], weights[fitted])
        confidence[judged] = model.of(seen[judged], answer[judged])
    return confidence
