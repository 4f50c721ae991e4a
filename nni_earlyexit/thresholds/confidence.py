"""Confidence measures: how sure an exit is of its answer. Larger is surer; an input leaves where it reaches the cutoff.

Adding one is one registered function, of one exit's logits (:func:`register`) or of those of the exits so far too
(:func:`register_sequential`). :mod:`nni_earlyexit.thresholds.learned_confidence` has the one that is fitted to data.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from nni_earlyexit.utils.checks import lookup
from numpy.typing import NDArray

Measure = Callable[[NDArray[np.floating]], NDArray[np.floating]]

MEASURES: dict[str, Measure] = {}
"""Functions of one exit's logits: (..., classes) to (...)."""
SEQUENTIAL: dict[str, Measure] = {}
"""Functions of the logits of the kept exits: (inputs, exits, classes) to (inputs, exits), each from those up to it."""
LEARNED = "learned"
"""The measure that is fitted to data."""


class UnknownMeasure(ValueError):
    """No measure is registered under ``name``."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(name, sentence)  # both, so that it can be pickled
        self.name, self._sentence = name, sentence

    def __str__(self) -> str:
        return self._sentence


def register(measure: Measure) -> Measure:
    """Make ``measure``, a function of one exit's logits, known under its function's name; a name that is taken warns."""
    return _add(measure, MEASURES)


def register_sequential(measure: Measure) -> Measure:
    """Make ``measure``, a function of the logits of the kept exits so far, known under its function's name, as above."""
    return _add(measure, SEQUENTIAL)


def _add(measure: Measure, measures: dict[str, Measure]) -> Measure:
    name = measure.__name__
    if name == LEARNED:
        raise ValueError(f"confidence: {name!r} is the measure that is fitted to data; give the function another name")
    if name in MEASURES or name in SEQUENTIAL:
        warnings.warn(f"confidence: the measure {name!r} is replaced", stacklevel=3)
        MEASURES.pop(name, None)
        SEQUENTIAL.pop(name, None)
    measures[name] = measure
    return measure


def check(name: str) -> None:
    """:class:`UnknownMeasure`, a ``ValueError`` with the nearest names, when no measure is called ``name``."""
    try:
        lookup({**MEASURES, **SEQUENTIAL, LEARNED: None}, name, "confidence")
    except ValueError as error:
        raise UnknownMeasure(name, str(error)) from None


def is_built_in(name: str) -> bool:
    """``True`` for a measure of this package, unless a function of the user's own has taken its name."""
    return name == LEARNED or (name in _BUILT_IN and (MEASURES.get(name) or SEQUENTIAL.get(name)) is _BUILT_IN[name])


def of_kept_exits(name: str, logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """The measure called ``name``, of the logits (inputs, kept exits, classes): (inputs, kept exits)."""
    measure = MEASURES.get(name) or SEQUENTIAL.get(name)
    if measure is None:
        check(name)
        raise ValueError(f"confidence: {name!r} is fitted to data; ThresholdOptimizer does that")
    return measure(logits)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Class probabilities (..., classes), in the precision of the input."""
    shifted = np.exp(logits - np.maximum.reduce(logits, axis=-1, keepdims=True))
    shifted /= np.add.reduce(shifted, axis=-1, keepdims=True)
    return shifted


@register
def max_prob(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Largest softmax probability, in [1 / classes, 1] (Hendrycks and Gimpel, arXiv 1610.02136)."""
    # softmax(logits).max() without the division of every class, and without numpy's way from logits.max to its ufunc
    top = np.maximum.reduce(logits, axis=-1, keepdims=True)
    return 1 / np.add.reduce(np.exp(logits - top), axis=-1)


@register
def entropy(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """One minus the normalised entropy, in [0, 1] (the exit rule of BranchyNet, arXiv 1709.01686)."""
    probabilities = softmax(logits)
    information = -(probabilities * np.log(np.maximum(probabilities, np.finfo(probabilities.dtype).tiny))).sum(axis=-1)
    return 1 - information / np.log(logits.shape[-1])


@register
def margin(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Largest minus second largest probability, in [0, 1]."""
    probabilities = np.partition(softmax(logits), -2, axis=-1)
    return probabilities[..., -1] - probabilities[..., -2]


@register
def energy(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Log-sum-exp of the logits: minus the free energy (Liu et al., arXiv 2010.03759)."""
    peak = logits.max(axis=-1)
    return peak + np.log(np.exp(logits - peak[..., None]).sum(axis=-1))


@register_sequential
def patience(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Number of kept exits in a row before this one that gave the class that it gives (PABEE, arXiv 2006.04152)."""
    classes = logits.argmax(axis=-1)
    agreeing = np.zeros(classes.shape)
    for k in range(1, classes.shape[1]):
        agreeing[:, k] = np.where(classes[:, k] == classes[:, k - 1], agreeing[:, k - 1] + 1, 0)
    return agreeing


_BUILT_IN = {**MEASURES, **SEQUENTIAL}
