"""Tables of networks that were really trained: what a search would have been told, in microseconds.

One compressed file per table, written by ``benchmarks/build_tables.py`` and read without a pickle, NNI or torch.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.search.archive import Archive
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.domain import Domain, Sample, key
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
REPORTED = ("default", "accuracy", "avg_macs", "optimism", "train_seconds")
"""Metrics of a training."""
KNOWN = ("full_macs", "params", "activation_bytes")
"""Metrics of a network, known before it is trained."""
PER_EXIT = ("accuracy", "share")
ALONG = ("accuracy", "avg_macs")
"""Metrics along a network's front, and after each epoch."""


class Table:
    """Results of every network of a sub-space; those of the first seed are what a search sees.

    Parameters
    ----------
    name
        ``digits``, or ``cifar10_8x8``, which nothing is tuned on.

    Attributes
    ----------
    choices
        What can be chosen, and the values.
    samples
        Every network, in canonical form.
    """

    def __init__(self, name: str, folder: Path = FOLDER) -> None:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as stored:
            self.arrays: dict[str, NDArray[Any]] = {array: stored[array] for array in stored.files}
        about = json.loads(str(self.arrays.pop("about")))
        self.name, self.space, self.training = name, about["space"], about["training"]
        self.choices: dict[str, list[Any]] = about["choices"]
        first = np.unique(self.arrays["network_of"], return_index=True)[1]
        positions = np.unravel_index(first, self.arrays["network_of"].shape)
        self.samples: list[Sample] = [
            {label: self.choices[label][i] for label, i in zip(self.choices, row, strict=True)}
            for row in zip(*(axis.tolist() for axis in positions), strict=True)
        ]
        trainings = zip(self.arrays["network"].tolist(), self.arrays["seed"].tolist(), strict=True)
        self._row = {training: row for row, training in enumerate(trainings)}
        self._position = {label: {value: i for i, value in enumerate(values)} for label, values in self.choices.items()}

    def __len__(self) -> int:
        return len(self.samples)

    def network(self, sample: Mapping[str, Any]) -> int:
        """Number of the network that a sample means; equal networks have one number."""
        return int(self.arrays["network_of"][tuple(at[sample[label]] for label, at in self._position.items())])

    @property
    def domain(self) -> Domain:
        """The sub-space as strategies see it."""
        return Domain(
            self.choices,
            canonical=lambda sample: dict(self.samples[self.network(sample)]),
            costs=self.costs,
            name=f"table {self.name}",
            size=len(self),
        )

    def costs(self, sample: Mapping[str, Any]) -> ExitCosts:
        """What is known of a network before it is trained; ``activation_bytes`` are those of the whole."""
        row = self.network(sample)
        stages = np.flatnonzero(self.arrays["exit_macs"][row])
        macs, params = (self.arrays[name][row, stages].tolist() for name in ("exit_macs", "exit_params"))
        memory = [int(self.arrays["activation_bytes"][row])] * len(stages)
        return ExitCosts(macs, params, memory, stages=stages.tolist())

    def query(self, sample: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
        """What a trial of a sample reports; ``KeyError`` when it was not trained with that seed."""
        number = self.network(sample)
        row = self._row[number, seed]
        metrics = {name: float(self.arrays[name][row]) for name in REPORTED}
        metrics |= {name: int(self.arrays[name][number]) for name in KNOWN}
        for name, stage in itertools.product(PER_EXIT, range(self.arrays["exit_macs"].shape[1])):
            metrics[f"exit{stage}_{name}"] = float(self.arrays[f"exit_{name}"][row, stage])
        return {
            **metrics,
            "feasible": 1,
            "excess": 0,
            "epochs": int(self.training["epochs"]),
            "sample": dict(self.samples[number]),
            "front": self._columns("front", row),
        }

    def history(self, sample: Mapping[str, Any], seed: int = 0) -> dict[str, list[float]]:
        """Metrics after each epoch."""
        return self._columns("history", self._row[self.network(sample), seed])

    def repeated(self) -> list[Sample]:
        """The networks that were trained with every seed."""
        seeds = set(self.arrays["seed"].tolist())
        return [s for i, s in enumerate(self.samples) if all((i, seed) in self._row for seed in seeds)]

    def losses(self, metrics: Mapping[str, Any], beside: Sequence[str] = ()) -> NDArray[np.floating]:
        """The points of a trial's front as losses (points, 2 + beside): minus accuracy, average MACs, and known metrics."""
        front = metrics["front"]
        others = [np.full(len(front["accuracy"]), metrics[name]) for name in beside]
        return np.stack([-np.array(front["accuracy"]), np.array(front["avg_macs"]), *others], axis=1)

    def _columns(self, what: str, row: int) -> dict[str, list[float]]:
        columns = {name: self.arrays[f"{what}_{name}"][row] for name in ALONG}
        there = np.isfinite(columns["accuracy"])
        return {name: column[there].astype(float).tolist() for name, column in columns.items()}


class Box:
    """Hypervolume of accuracy, average MACs and metrics ``beside`` them between the ends of a table's true front.

    As a share of the true front's. The ends are those of the union of all networks' fronts.
    """

    def __init__(self, table: Table, beside: Sequence[str] = ()) -> None:
        archive = Archive(2 + len(beside))
        for sample in table.samples:
            archive.add(key(sample), table.losses(table.query(sample), beside))
        self.points, self.owners = archive.points, archive.owners
        self.least, self.most = archive.points.min(axis=0), archive.points.max(axis=0)
        self.true = self._area(archive.points)

    def share(self, points: NDArray[np.floating]) -> float:
        """Hypervolume of losses (points, objectives), 1 for the true front."""
        return self._area(points) / self.true

    def _area(self, points: NDArray[np.floating]) -> float:
        from pymoo.indicators.hv import HV

        scaled = (points - self.least) / (self.most - self.least)
        return float(HV(ref_point=np.full(len(self.least), 1.1))(scaled))


def pack(about: Mapping[str, Any], results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a table from the results of trainings, which ``benchmarks/build_tables.py`` explains."""
    choices: Mapping[str, list[Any]] = about["choices"]
    names = sorted({key(result["sample"]) for result in results})
    number = {name: i for i, name in enumerate(names)}
    network_of = np.full([len(values) for values in choices.values()], -1, np.int16)
    canonical = about["canonical"]
    for positions in itertools.product(*(range(len(values)) for values in choices.values())):
        sample = {label: choices[label][i] for label, i in zip(choices, positions, strict=True)}
        network_of[positions] = number.get(key(canonical(sample)), -1)
    if (network_of < 0).any():
        raise ValueError("results: some networks have none; train them all first")
    first = {name: next(r for r in results if key(r["sample"]) == name) for name in names}
    arrays: dict[str, Any] = {"network_of": network_of}
    arrays["network"] = np.array([number[key(result["sample"])] for result in results], np.int16)
    arrays["seed"] = np.array([result["seed"] for result in results], np.int8)
    for name in KNOWN:
        arrays[name] = np.array([first[n]["metrics"][name] for n in names], np.int32)
    stages = 1 + max(stage for result in results for stage in result["exit_stages"])
    for name in ("exit_macs", "exit_params"):
        arrays[name] = np.zeros((len(names), stages), np.int32)
        for i, n in enumerate(names):
            arrays[name][i, first[n]["exit_stages"]] = first[n][name]
    for name in REPORTED:
        arrays[name] = np.array([result["metrics"][name] for result in results], np.float32)
    for name in PER_EXIT:
        columns = [[r["metrics"][f"exit{stage}_{name}"] for stage in range(stages)] for r in results]
        arrays[f"exit_{name}"] = np.array(columns, np.float32)
    for name in ALONG:
        arrays[f"front_{name}"] = _rows(result["metrics"]["front"][name] for result in results)
        arrays[f"history_{name}"] = _rows([epoch[name] for epoch in result["history"]] for result in results)
    arrays["about"] = np.array(json.dumps({name: about[name] for name in ("space", "choices", "training")}))
    np.savez_compressed(path, **arrays)


def _rows(lists: Iterable[Sequence[float]]) -> NDArray[np.floating]:
    """Lists of different lengths as rows, filled up with NaN."""
    found = list(lists)
    rows = np.full((len(found), max(map(len, found))), np.nan, np.float32)
    for row, values in zip(rows, found, strict=True):
        row[: len(values)] = values
    return rows
