"""Tables of 6,561 networks computed by formulas, larger than those that were trained, for what only large spaces show.

Costs of their exits range over a factor of 130, so that the ends of the front are far from what random networks give.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from nni_earlyexit.search.domain import Sample
from numpy.typing import NDArray

from tabular import Table

CHOICES: dict[str, list[Any]] = {
    "stage0_width": [8, 16, 32],
    "stage1_width": [12, 24, 48],
    "stage2_width": [16, 32, 64],
    "stage1_depth": [1, 2, 4],
    "stage2_depth": [1, 2, 4],
    "kernel": [3, 5, 7],
    "exit0": ["no", "plain", "deep"],
    "exit1": ["no", "plain", "deep"],
}
POSITIONS = (256, 64, 16)
"""Places of each stage's output."""
CLASSES = 10
WAY = np.linspace(0, 1, 5)
"""Shares of the way from one exit to the next at which a network's front has a point."""

Array = NDArray[np.floating]


class Synthetic(Table):
    """Every network of three stages, an exit after the last one and two that may be missing; no two seeds are alike.

    Accuracy rises with what an exit can use, ever more slowly, and depends on pairs of choices and a little on luck.
    """

    def __init__(self, seed: int) -> None:
        self.name, self.choices, self.training = f"synthetic{seed}", CHOICES, {"epochs": 1}
        self.samples: list[Sample] = [
            dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())
        ]
        self._position = {label: {value: i for i, value in enumerate(values)} for label, values in CHOICES.items()}
        self._row = {(i, 0): i for i in range(len(self.samples))}
        level = np.array(list(itertools.product(*(range(len(values)) for values in CHOICES.values()))))
        column = dict(zip(CHOICES, level.T, strict=True))
        there = np.stack([column["exit0"] > 0, column["exit1"] > 0, np.full(len(level), True)], axis=1)
        macs, params = _costs(column)
        accuracy = _accuracy(level, np.random.default_rng(seed))
        front = [_front(macs[i, there[i]], accuracy[i, there[i]]) for i in range(len(level))]
        points = np.full((2, len(level), max(map(len, front))), np.nan)
        for i, own in enumerate(front):
            points[:, i, : len(own)] = own.T
        shares = there / there.sum(axis=1, keepdims=True)
        self.arrays = {
            "network_of": np.arange(len(level)).reshape([len(values) for values in CHOICES.values()]),
            "seed": np.zeros(len(level), int),
            "exit_macs": np.where(there, macs, 0),
            "exit_params": np.where(there, params, 0),
            "full_macs": macs[:, -1],
            "params": params[:, -1],
            "activation_bytes": 4 * POSITIONS[0] * np.array(CHOICES["stage0_width"])[column["stage0_width"]],
            "default": accuracy[:, -1],
            "accuracy": (np.where(there, accuracy, 0) * shares).sum(axis=1),
            "avg_macs": (macs * shares).sum(axis=1),
            "optimism": np.zeros(len(level)),
            "train_seconds": macs[:, -1] / 1e5,
            "exit_accuracy": np.where(there, accuracy, 0),
            "exit_share": shares,
            "front_accuracy": points[0],
            "front_avg_macs": points[1],
        }


def _costs(column: dict[str, NDArray[np.intp]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """MACs and parameters until each exit (networks, exits), of blocks of a depthwise and a pointwise convolution."""
    value = {label: np.array(own)[column[label]] for label, own in CHOICES.items() if isinstance(own[0], int)}
    depth = (1, value["stage1_depth"], value["stage2_depth"])
    macs = params = np.zeros(len(column["kernel"]), int)
    before: Any = 3
    until: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for stage, positions in enumerate(POSITIONS):
        width = value[f"stage{stage}_width"]
        weights = value["kernel"] ** 2 * (before + (depth[stage] - 1) * width)
        weights = weights + before * width + (depth[stage] - 1) * width**2
        branch = width * CLASSES
        macs, params, before = macs + positions * weights, params + weights, width
        if stage < len(POSITIONS) - 1:
            kind = column[f"exit{stage}"]
            branch = np.where(kind > 0, branch, 0)
            deep = np.where(kind > 1, 9 * width + width**2, 0)
            macs, params = macs + positions // 4 * deep, params + deep
        macs, params = macs + branch, params + branch
        until.append((macs, params))
    return tuple(np.stack(own, axis=1) for own in zip(*until, strict=True))  # type: ignore[return-value]


def _accuracy(level: NDArray[np.intp], rng: np.random.Generator) -> Array:
    """Accuracy at each exit (networks, exits)."""
    labels = list(CHOICES)
    used = [
        ["stage0_width", "kernel", "exit0"],
        ["stage0_width", "stage1_width", "stage1_depth", "kernel", "exit1"],
        [label for label in labels if not label.startswith("exit")],
    ]
    share = level / 2
    worth = dict(zip(labels, rng.uniform(0.5, 1.5, len(labels)), strict=True))
    worth["kernel"] *= 0.4
    least, most, rate = rng.uniform(0.2, 0.4), rng.uniform(0.8, 0.95), rng.uniform(0.5, 2)
    start, noise = rng.uniform(0, 0.2), rng.uniform(0.002, 0.006)
    accuracy = np.empty((len(level), len(used)))
    for exit, own in enumerate(used):
        columns = [labels.index(label) for label in own]
        weights = np.array([worth[label] for label in own])
        quality = share[:, columns] @ (weights / weights.sum())
        for a, b in itertools.combinations(columns, 2):
            quality = quality + rng.normal(0, 0.08) * (2 * share[:, a] - 1) * (2 * share[:, b] - 1)
        stage = start + exit * (1 - start) / 4
        accuracy[:, exit] = least + (most - least) * (1 - np.exp(-rate * (stage + 0.5 * quality))) / (1 - np.exp(-rate))
    # exits that are deep take something from those behind them
    for exit in range(len(used) - 1):
        accuracy[:, exit + 1 :] -= 0.01 * rng.uniform() * share[:, [labels.index(f"exit{exit}")]]
    return np.clip(accuracy + rng.normal(0, noise, accuracy.shape), 0, 1)


def _front(macs: Array, accuracy: Array) -> Array:
    """What a network reaches (points, 2) by sending more and more inputs on to the next exit, the hardest first."""
    reached = np.maximum.accumulate(accuracy)
    points = [[reached[0], macs[0]]]
    for exit in range(1, len(macs)):
        rise = reached[exit] - reached[exit - 1]
        for way in WAY[1:]:
            spent = macs[exit - 1] + way * (macs[exit] - macs[exit - 1])
            points.append([reached[exit - 1] + (1 - (1 - way) ** 2) * rise, spent])
    return np.array(points)
