"""Families of models that predict what networks give, and how sure they are; scikit-learn's, behind one interface."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

DRAWS = 24
"""Draws from what a model thinks possible."""
TREES = 48

Array: TypeAlias = NDArray[np.floating]


class Model(Protocol):
    """A fitted model; ``settings`` are what took long to find, and fit the next one at once."""

    settings: Sequence[float]

    def mean(self, x: Array) -> Array:
        """Predictions (inputs, targets)."""

    def draws(self, x: Array, rng: np.random.Generator) -> Array:
        """Possible results (draws, inputs, targets)."""


Family = Callable[[Array, Array, Sequence[float] | None], Model]
"""Fits a model to features (inputs, features) and targets (inputs, targets), with the settings of another one if given."""


class Trees:
    """Extremely randomised trees (Geurts et al., 2006); each tree is a draw."""

    settings: Sequence[float] = ()

    def __init__(self, x: Array, y: Array, settings: Sequence[float] | None = None) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        model = ExtraTreesRegressor(TREES, min_samples_leaf=2, max_features=0.7, bootstrap=True, random_state=0)
        self._trees = [tree.tree_ for tree in model.fit(x, y if y.shape[1] > 1 else y[:, 0]).estimators_]

    def _every(self, x: Array, trees: Sequence[int]) -> Array:
        rows = x.astype(np.float32)
        return np.stack([self._trees[i].predict(rows).reshape(len(x), -1) for i in trees])

    def mean(self, x: Array) -> Array:
        return self._every(x, range(TREES)).mean(axis=0)

    def draws(self, x: Array, rng: np.random.Generator) -> Array:
        return self._every(x, rng.choice(TREES, DRAWS, replace=False).tolist())


class GaussianProcess:
    """A Gaussian process; all targets share the kernel. A draw moves all targets of an input alike."""

    def __init__(self, x: Array, y: Array, settings: Sequence[float] | None = None) -> None:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        self._centre, self._scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
        width = np.sqrt(x.shape[1])
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(width, (0.3 * width, 30 * width), nu=2.5)
        kernel += WhiteKernel(0.1, (1e-4, 1.0))
        if settings is not None:
            kernel = kernel.clone_with_theta(np.array(settings))
        optimizer = "fmin_l_bfgs_b" if settings is None else None
        self._model = GaussianProcessRegressor(kernel, normalize_y=True, optimizer=optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a setting is at its bound
            self._model.fit((x - self._centre) / self._scale, y)
        self.settings = self._model.kernel_.theta.tolist()

    def mean(self, x: Array) -> Array:
        return self._model.predict((x - self._centre) / self._scale).reshape(len(x), -1)

    def draws(self, x: Array, rng: np.random.Generator) -> Array:
        found = self._model.predict((x - self._centre) / self._scale, return_std=True)
        mean, deviation = (part.reshape(len(x), -1) for part in found)
        return mean + rng.normal(size=(DRAWS, len(x), 1)) * deviation


FAMILIES: dict[str, Family] = {"trees": Trees, "gaussian_process": GaussianProcess}


def rank_correlation(family: Family, x: Array, y: Array, seed: int, folds: int = 4) -> float:
    """Spearman's rank correlation between cross-fitted predictions and the truth, mean over the targets."""
    from scipy.stats import rankdata

    order = np.random.default_rng(seed).permutation(len(x))
    predicted = np.empty_like(y)
    for fold in range(min(folds, len(x))):
        held = order[fold::folds]
        rest = np.setdiff1d(order, held)
        predicted[held] = family(x[rest], y[rest], None).mean(x[held])
    found = [0.0]
    for truth, guess in zip(rankdata(y, axis=0).T, rankdata(predicted, axis=0).T, strict=True):
        if np.ptp(truth) > 0 and np.ptp(guess) > 0:
            found.append(float(np.corrcoef(truth, guess)[0, 1]))
    return float(np.mean(found[1:] or found))
