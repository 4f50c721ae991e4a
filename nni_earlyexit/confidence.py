"""Confidence measures: how sure one exit is of its answer. Larger is surer; an input leaves where it reaches the cutoff.

A measure is a function from logits (..., classes) to confidences (...). Adding one is one registered function.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from nni_earlyexit.names import lookup
from numpy.typing import NDArray

Measure = Callable[[NDArray[np.floating]], NDArray[np.floating]]

MEASURES: dict[str, Measure] = {}


def register(measure: Measure) -> Measure:
    """Make ``measure`` known under its function's name."""
    MEASURES[measure.__name__] = measure
    return measure


def get(name: str) -> Measure:
    """The measure called ``name``; ``ValueError`` with the nearest names when there is none."""
    return lookup(MEASURES, name, "confidence")


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Class probabilities (..., classes), in the precision of the input."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


@register
def max_prob(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Largest softmax probability, in [1 / classes, 1] (Hendrycks and Gimpel, arXiv 1610.02136)."""
    # softmax(logits).max() without the division of every class
    return 1 / np.exp(logits - logits.max(axis=-1, keepdims=True)).sum(axis=-1)


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
