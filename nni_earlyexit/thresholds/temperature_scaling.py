"""Temperature scaling: one number per exit that makes its probabilities as likely as can be (Guo et al., arXiv 1706.04599)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIMITS = (0.05, 20.0)


def best_temperatures(
    logits: NDArray[np.floating], y: NDArray[np.integer], weights: NDArray[np.floating]
) -> tuple[float, ...]:
    """The temperature of each exit, within ``LIMITS``, by which its logits are divided.

    ``logits`` is (inputs, exits, classes), ``y`` and ``weights`` (inputs,).
    """
    from scipy.optimize import minimize_scalar

    inputs = np.arange(len(y))

    def loss(log_temperature: float, own: NDArray[np.floating]) -> float:
        cooled = own / np.exp(log_temperature)
        return float(weights @ (np.log(np.exp(cooled).sum(axis=1)) - cooled[inputs, y]))

    temperatures = []
    for exit in range(logits.shape[1]):
        own = logits[:, exit].astype(np.float64)
        own -= own.max(axis=1, keepdims=True)
        best = minimize_scalar(loss, bounds=np.log(LIMITS), args=(own,), method="bounded")
        temperatures.append(float(np.exp(best.x)))
    return tuple(temperatures)
