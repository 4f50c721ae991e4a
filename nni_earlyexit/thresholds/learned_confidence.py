"""Learned confidence: the probability that going on gains nothing, predicted by a small model.

An input that this exit gets right should leave, and so should one that the last exit gets wrong too: only "wrong here, right
there" is worth going on for. The model is a logistic regression of that on what this exit and the kept exits before it say:
whether an input is hard is partly seen from which exits agree, and no function of one exit's probabilities knows that. A
linear model is small enough to run after every exit, and is plain numbers in a policy's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
INPUTS_PER_CLASS = 50
"""Inputs per class from which on the model looks at every class, and not only at the largest."""

Array: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True)
class LearnedConfidence:
    """The fitted model of one exit: confidence = 1 / (1 + exp(-(intercept + coefficients x :func:`features` + offset))).

    ``offsets`` is one number per class that the exit may give, or empty; then the model looks at no single class.
    """

    intercept: float
    coefficients: tuple[float, ...]
    offsets: tuple[float, ...] = ()

    def __call__(self, logits: Array) -> Array:
        """Confidence (inputs,) of the last of the exits in ``logits`` (inputs, kept exits so far, classes)."""
        return self.from_features(features(logits, bool(self.offsets)), logits[:, -1].argmax(axis=-1))

    def from_features(self, seen: Array, answer: NDArray[np.intp]) -> Array:
        """Confidence (inputs,) from the :func:`features` ``seen`` and the exit's classes ``answer`` (inputs,)."""
        sure = self.intercept + seen @ np.array(self.coefficients)
        if self.offsets:
            sure = sure + np.array(self.offsets)[answer]
        return 1 / (1 + np.exp(-np.clip(sure, -700, 700)))

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


def features(logits: Array, of_classes: bool) -> Array:
    """Features (inputs, features) from the logits (inputs, exits, classes) of the kept exits so far, the model's own the last.

    From its own exit: the three largest log-probabilities, entropy, largest logit, energy, margin, probability and logarithms
    of what the largest lacks; with ``of_classes`` the log-probability of every class. From every exit before: log-probability
    of this exit's class, whether it agrees, and its own largest log-probability.
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
    lacking = -largest[:, 0]
    single = [entropy, peak, energy + peak, largest[:, 0] - largest[:, 1], np.exp(largest[:, 0])]
    single += [np.log(lacking + 1e-4), np.log(1e-6 - np.expm1(-lacking))]
    blocks = [largest, *(column[:, None] for column in single)]
    if of_classes:
        blocks.append(log_probability)

    if logits.shape[1] > 1:
        inputs, answer = np.arange(len(own)), own.argmax(axis=-1)
        earlier = logits[:, :-1] - logits[:, :-1].max(axis=-1, keepdims=True)
        most = -np.log(np.exp(earlier).sum(axis=-1))
        agrees = earlier.argmax(axis=-1) == answer[:, None]
        seen = np.stack([earlier[inputs, :, answer] + most, agrees, most], axis=2)  # these three of each exit
        blocks.append(seen.reshape(len(own), -1))
    return np.concatenate(blocks, axis=1).astype(np.float64)


def fit(logits: Array, gain: Array, weights: Array) -> LearnedConfidence:
    """The model for ``gain`` (inputs,), from 0: what going on gains over leaving at the last of the exits in ``logits``.

    ``logits`` is (inputs, kept exits so far, classes), ``weights`` (inputs,).
    """
    of_classes = _of_classes(logits)
    answer = logits[:, -1].argmax(axis=-1)
    return _fit(features(logits, of_classes), answer, logits.shape[2] if of_classes else 0, gain, weights)


def _of_classes(logits: Array) -> bool:
    return len(logits) >= INPUTS_PER_CLASS * logits.shape[2]


def _fit(seen: Array, answer: NDArray[np.intp], classes: int, gain: Array, weights: Array) -> LearnedConfidence:
    """The model with ``classes`` offsets."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    gains = gain > 0
    if not gains[weights > 0].any() or gains[weights > 0].all():
        return LearnedConfidence(0.0, (0.0,) * seen.shape[1], (0.0,) * classes)
    # a larger gain counts for more; among gains of 0 and 1, each counts once
    weights = weights * np.where(gains, gain / np.average(gain[gains], weights=weights[gains] + 1e-300), 1)
    scaler = StandardScaler().fit(seen, sample_weight=weights)
    columns = np.append(scaler.transform(seen), answer[:, None] == np.arange(classes), axis=1)
    model = LogisticRegression(solver="newton-cholesky").fit(columns, ~gains, sample_weight=weights)
    scaled = model.coef_[0, : seen.shape[1]] / scaler.scale_
    return LearnedConfidence(
        float(model.intercept_[0] - scaled @ scaler.mean_),
        tuple(scaled.tolist()),
        tuple(model.coef_[0, seen.shape[1] :].tolist()),
    )


def cross_fitted(logits: Array, gain: Array, weights: Array, seed: int) -> Array:
    """Confidence (inputs,), each from a model that was fitted without that input's fifth of the data."""
    from sklearn.model_selection import KFold

    folds = min(FOLDS, len(gain))
    if folds < 2:
        return np.zeros(len(gain))
    of_classes = _of_classes(logits)
    seen, answer = features(logits, of_classes), logits[:, -1].argmax(axis=-1)
    classes = logits.shape[2] if of_classes else 0
    confidence = np.empty(len(gain))
    for fitted, judged in KFold(folds, shuffle=True, random_state=seed).split(gain):
        model = _fit(seen[fitted], answer[fitted], classes, gain[fitted], weights[fitted])
        confidence[judged] = model.from_features(seen[judged], answer[judged])
    return confidence
