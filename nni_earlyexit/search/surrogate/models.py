"""Families of models that predict the results of networks, with their uncertainty; scikit-learn's, behind one interface."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

TREES = 48
FEWEST = 3
"""Results from which a model of a target is fitted; with fewer, the prediction is their mean."""
SETTINGS_FROM = 128
"""Results that the settings of a model are found with, at most; that takes the cube of their number."""

Array: TypeAlias = NDArray[np.floating]
Hyperparameters: TypeAlias = Sequence[float]


class Model(Protocol):
    """A fitted model; ``settings`` took long to find, and fit the next one at once."""

    settings: Hyperparameters

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of results to come, noise included, each (inputs,)."""


Family = Callable[[Array, Array, Hyperparameters | None], Model]
"""Fits a model to features (inputs, features) and results (inputs,), with the settings of another one if given."""


class Trees:
    """Extremely randomised trees (Geurts et al., 2006); uncertainty is their spread and their error out of their bags."""

    settings: Hyperparameters = ()

    def __init__(self, x: Array, y: Array, settings: Hyperparameters | None = None) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        model = ExtraTreesRegressor(
            TREES, min_samples_leaf=2, max_features=0.7, bootstrap=True, oob_score=True, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a result may have been in every bag
            model.fit(x, y)
        self._trees = [tree.tree_ for tree in model.estimators_]
        self._noise = float(np.mean((model.oob_prediction_ - y) ** 2))

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of results to come, noise included, each (inputs,)."""
        rows = x.astype(np.float32)
        every = np.stack([tree.predict(rows).reshape(len(x)) for tree in self._trees])
        return every.mean(axis=0), np.sqrt(every.var(axis=0) + self._noise)


class GaussianProcess:
    """A Gaussian process with one length scale for all features, and noise."""

    def __init__(self, x: Array, y: Array, settings: Hyperparameters | None = None) -> None:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        deviation = x.std(axis=0)
        self._centre, self._scale = x.mean(axis=0), np.where(deviation > 1e-9, deviation, 1)
        scaled = (x - self._centre) / self._scale
        width = np.sqrt(x.shape[1])
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(width, (0.3 * width, 30 * width), nu=2.5)
        kernel += WhiteKernel(0.1, (1e-4, 1.0))
        if settings is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a setting is at its bound
                latest = GaussianProcessRegressor(kernel, normalize_y=True)
                latest.fit(scaled[-SETTINGS_FROM:], y[-SETTINGS_FROM:])
            settings = latest.kernel_.theta.tolist()
        self.settings: Hyperparameters = list(settings)
        kernel = kernel.clone_with_theta(np.array(settings))
        self._model = GaussianProcessRegressor(kernel, normalize_y=True, optimizer=None).fit(scaled, y)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of results to come, noise included, each (inputs,)."""
        mean, deviation = self._model.predict((x - self._centre) / self._scale, return_std=True)
        return mean, deviation


FAMILIES: dict[str, Family] = {"trees": Trees, "gaussian_process": GaussianProcess}


class Models:
    """A model of each target, fitted where the target is not NaN.

    Parameters
    ----------
    family
        Name of a family.
    x
        Features (targets, inputs, features).
    y
        Results (targets, inputs), NaN where there is none.
    settings
        Settings of the models of an earlier fit, one per target.
    """

    def __init__(
        self, family: str, x: Array, y: Array, settings: Sequence[Hyperparameters | None] | None = None
    ) -> None:
        finite = y[np.isfinite(y)]
        self._mean, self._deviation = (float(finite.mean()), float(finite.std())) if finite.size else (0.0, 1.0)
        self._models: list[Model | None] = []
        for i, (own_x, own_y) in enumerate(zip(x, y, strict=True)):
            there = np.isfinite(own_y)
            own_settings = None if settings is None else settings[i]
            enough = there.sum() >= FEWEST
            self._models.append(FAMILIES[family](own_x[there], own_y[there], own_settings) if enough else None)

    @property
    def settings(self) -> list[Hyperparameters | None]:
        """Settings that took long to find, one per target."""
        return [None if model is None else model.settings for model in self._models]

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, each (targets, inputs), of features (targets, inputs, features) that may be NaN."""
        mean, deviation = np.full((2, *x.shape[:2]), np.nan)
        for i, model in enumerate(self._models):
            there = np.isfinite(x[i]).all(axis=1)
            if model is None:
                mean[i, there], deviation[i, there] = self._mean, self._deviation
            elif there.any():
                mean[i, there], deviation[i, there] = model.predict(x[i, there])
        return mean, deviation


def rank_correlation(family: str, x: Array, y: Array, seed: int, folds: int = 4) -> float:
    """Spearman's rank correlation between cross-fitted predictions and the truth, mean over the targets."""
    from scipy.stats import spearmanr

    inputs = y.shape[1]
    order = np.random.default_rng(seed).permutation(inputs)
    predicted = np.full_like(y, np.nan)
    for fold in range(min(folds, inputs)):
        held = order[fold::folds]
        rest = np.setdiff1d(order, held)
        predicted[:, held] = Models(family, x[:, rest], y[:, rest]).predict(x[:, held])[0]
    correlations = []
    for truth, guess in zip(y, predicted, strict=True):
        there = np.isfinite(truth) & np.isfinite(guess)
        if there.sum() > 2 and np.ptp(truth[there]) > 0 and np.ptp(guess[there]) > 0:
            correlations.append(float(spearmanr(truth[there], guess[there]).statistic))
    return float(np.mean(correlations)) if correlations else 0.0
