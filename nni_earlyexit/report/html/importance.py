"""The choices that matter: how well a forest that knows all choices but one predicts networks that it has not seen.

Permutation importance (Breiman, 2001) of a random forest, on held-out trials: the R² that is lost when the values of one
choice are shuffled among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nni_earlyexit.report.html.experiment import Experiment
from numpy.typing import ArrayLike, NDArray

LEAST_TRIALS = 20
"""Fewer say nothing about dozens of choices."""
TREES, FOLDS, SHUFFLES = 60, 3, 3
TARGETS = ("accuracy", "avg_macs")
METHOD = (
    f"Permutation importance (Breiman, 2001): a random forest of {TREES} trees learns to predict the metric from all choices; "
    f"shown is the R² that it loses on held-out trials when one choice is shuffled among them ({FOLDS} folds, {SHUFFLES} "
    "shuffles)."
)


def importances(experiment: Experiment, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The importance of each of ``choices`` for accuracy and average MACs over the trials within the limits.

    The codes of ``choices`` are those of :func:`nni_earlyexit.report.html.trials.choices`. Where the trials are too few, there
    are no ``targets``.
    """
    within = set(map(id, experiment.within()))
    rows = [position for position, trial in enumerate(experiment.trials) if id(trial) in within]
    result: dict[str, Any] = {"method": METHOD, "trials": len(rows), "least": LEAST_TRIALS, "targets": {}}
    if len(rows) < LEAST_TRIALS or not choices:
        return result
    features = np.array([choice["codes"] for choice in choices], dtype=float).T[rows]
    for target in TARGETS:
        values = [experiment.trials[row].metrics[target] for row in rows]
        # costs differ by factors, accuracies by differences
        score, means = permutation(features, np.log(values) if target == "avg_macs" else values)
        order = np.argsort(-means)
        result["targets"][target] = {
            "r2": round(score, 3),
            "labels": [choices[i]["label"] for i in order],
            "values": [round(float(means[i]), 4) for i in order],
        }
    return result


def permutation(features: NDArray[np.floating], values: ArrayLike, seed: int = 0) -> tuple[float, NDArray[np.floating]]:
    """The mean R² on held-out rows of a forest on ``features`` (rows, features), and what each one is worth (features,).

    It is what scikit-learn's ``permutation_importance`` gives, with one prediction for all shuffles, which takes a hundredth of
    the time where there are dozens of features and few rows.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold

    target, rng = np.asarray(values, dtype=float), np.random.default_rng(seed)
    scores, means = [], []
    for fitted, held in KFold(FOLDS, shuffle=True, random_state=seed).split(features):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=seed).fit(
            features[fitted], target[fitted]
        )
        own, right = features[held], target[held]
        score = r2_score(right, forest.predict(own))
        shuffled = np.tile(own, (own.shape[1], SHUFFLES, 1, 1))  # (features, shuffles, rows, features)
        for feature, copies in enumerate(shuffled):
            copies[:, :, feature] = rng.permuted(copies[:, :, feature], axis=1)
        said = forest.predict(shuffled.reshape(-1, own.shape[1])).reshape(own.shape[1], SHUFFLES, -1)
        scores.append(score)
        means.append([score - np.mean([r2_score(right, copy) for copy in copies]) for copies in said])
    return float(np.mean(scores)), np.mean(means, axis=0)
