"""Seconds of a sample, predicted from a table of the seconds of every unit of a space on one machine.

Every unit (:mod:`nni_earlyexit.profiling.units`) is run once in each of many rounds through all of them, so that it finds the
caches as it does in a network, full of something else. The seconds of a sample are the sum of its units', times a factor near
1 that is measured on a few whole networks.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.nn.inference import example
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.profiling.latency import Conditions, machine, measure_in_turns, measuring
from nni_earlyexit.profiling.unit_costs import AdditiveCosts
from nni_earlyexit.profiling.units import Part, Unit, check_shapes, is_fixed, take_apart, units
from nni_earlyexit.search.costs import ExitSeconds
from nni_earlyexit.space import identity
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.utils.files import make_folder, write_json
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.provenance import made_with
from torch import nn


class Latencies(AdditiveCosts[float]):
    """The seconds until each present exit of a sample."""

    def seconds(self, sample: Mapping[str, Any]) -> ExitSeconds:
        """The seconds until each present exit of ``sample``, and of each exit branch."""
        return ExitSeconds(self(sample), self.branches(sample))


FORMAT = 1


UNIT_ROUNDS = 30


CALIBRATION_NETWORKS = 15


CALIBRATION_SEED = 20_000
"""Networks that a table is fitted to; other seeds give other networks to check it with."""


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of every unit of a space on one machine.

    Attributes
    ----------
    space
        Identity of the space.
    machine
        The machine, as :func:`machine` describes it.
    conditions
        Conditions of the measurement.
    factor
        Seconds of whole networks, over the sum of their units' seconds.
    seconds
        Seconds of each unit alone, by its name.
    """

    space: str
    machine: Mapping[str, str]
    conditions: Conditions
    factor: float
    seconds: Mapping[str, float]

    @classmethod
    def build(
        cls,
        space: EarlyExitSpace,
        *,
        batch_size: int = 1,
        threads: int = 1,
        dtype: str = "float32",
        say: Callable[[str], None] | None = None,
    ) -> LatencyTable:
        """Measure all units of ``space``, and whole networks for the factor; ``say`` gets lines of progress."""
        conditions = Conditions(batch_size, threads, dtype)
        say = say or (lambda line: None)
        network, x = conditions.prepared(space.network), conditions.inputs(space.input_shape)
        parts = _same_for_all(take_apart(network, x))
        with measuring(threads):
            seconds = _measure_units(list(units(parts)), say)
        del network  # whole networks are measured next, and memory of a space's is theirs
        alone = cls(space=space.identity(), machine=machine(), conditions=conditions, factor=1.0, seconds=seconds)
        say(f"measuring {CALIBRATION_NETWORKS} whole networks")
        return replace(alone, factor=alone._measured_factor(space))

    def _measured_factor(self, space: EarlyExitSpace) -> float:
        rng = np.random.default_rng(CALIBRATION_SEED)
        samples = [space.sample(rng) for _ in range(CALIBRATION_NETWORKS)]
        predict = self.predictor(space)
        measured = measure_in_turns([space.freeze(sample) for sample in samples], **asdict(self.conditions))
        return statistics.median(
            exits[-1].median / predict(sample)[-1] for sample, exits in zip(samples, measured, strict=True)
        )

    def predictor(self, space: EarlyExitSpace) -> Latencies:
        """A function that gives the seconds until each present exit of a sample of ``space``, which must be the table's."""
        self._check_space(space)
        parts = _same_for_all(take_apart(space.network, example(space.input_shape)))
        return Latencies(space.network, parts, lambda unit: self.factor * self.seconds[unit.name])

    def save(self, path: Path | str) -> None:
        """Write the table as JSON."""
        make_folder(Path(path).parent)
        write_json(Path(path), {"format": FORMAT, **asdict(self), "made_with": made_with()})

    @classmethod
    def load(cls, path: Path | str, space: EarlyExitSpace | None = None) -> LatencyTable:
        """The table in ``path``.

        Raises ``FileNotFoundError`` when there is none, and ``ValueError`` when it is broken, or of another format, machine
        or version, or of another space than ``space``, where one is given.
        """
        path = expanded(path)
        if not path.is_file():
            raise FileNotFoundError(f"latency_table: there is no file {str(path)!r}")
        wanted = None if space is None else space.identity()
        try:
            content = json.loads(path.read_text())
            if content["format"] == FORMAT:
                table = cls(
                    space=str(content["space"]),
                    machine=dict(content["machine"]),
                    conditions=Conditions(**content["conditions"]),
                    factor=_positive(content["factor"]),
                    seconds={name: _positive(value) for name, value in content["seconds"].items()},
                )
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
            raise _refused("is not a latency table", wanted, path) from None
        if content["format"] != FORMAT:
            raise _refused(f"has format {content['format']!r}, not {FORMAT}", wanted, path)
        here = machine()
        for name in here:
            there = table.machine.get(name)
            if there != here[name]:
                what = f"was measured with {name} {there!r}, here it is {here[name]!r}"
                raise _refused(what, wanted or table.space, path)
        if space is not None:
            table._check_space(space, path)
        return table

    def _check_space(self, space: EarlyExitSpace, path: Path | None = None) -> None:
        identity.check_same(
            self.space,
            space.identity(),
            field=f"latency_table: {_named(path)}",
            whose="is searched",
            remedy=_remedy(space.identity(), path),
        )
        names = set(_unit_names(space.network))
        missing = sorted(names - self.seconds.keys())
        if missing:
            what = f"has no seconds of {missing[0]!r} ({len(names) - len(missing)} of {len(names)} blocks are there)"
            raise _refused(what, space.identity(), path)


def _unit_names(network: EarlyExitNetwork) -> Iterator[str]:
    """The names of a space's units, which :func:`take_apart` gives too, but runs everything for it."""

    def within(name: str, module: nn.Module) -> Iterator[str]:
        if is_fixed(module):
            yield name
        else:
            for key, child in module.named_children():
                yield from within(f"{name}.{key}", child)

    yield from within("stem", network.stem)
    for part in ("stages", "exits"):
        for key, child in network.get_submodule(part).named_children():
            yield from within(f"{part}.{key}", child)


def _positive(value: Any) -> float:
    if not 0 < value < math.inf:
        raise ValueError(value)
    return float(value)


def _refused(what: str, space: str | None, path: Path | None) -> ValueError:
    return ValueError(f"latency_table: {_named(path)} {what}; {_remedy(space, path)}")


def _named(path: Path | None) -> str:
    return "the table" if path is None else repr(str(path))


def _remedy(space: str | None, path: Path | None) -> str:
    return f"measure again with 'nni-earlyexit latency {space or 'SPACE'} --output {path or 'latency.json'}'"


def latencies(table: str | None, space: EarlyExitSpace) -> Latencies | None:
    """The seconds until each present exit of a sample of ``space``, from the file ``table``; ``None`` without one.

    Raises as :meth:`LatencyTable.load`.
    """
    return None if table is None else LatencyTable.load(table, space).predictor(space)


def _same_for_all(parts: list[Part]) -> list[Part]:
    """``parts``, if each unit has one input whatever is chosen; ``ValueError`` for a space in which it has not."""
    try:
        check_shapes(parts)
    except TypeError as error:
        raise ValueError(f"latency: a table of this space is not possible: {error}") from None
    return parts


def _measure_units(space_units: Sequence[Unit], say: Callable[[str], None]) -> dict[str, float]:
    """Seconds of each unit; those of the same layers on the same shape are measured as one."""
    kinds: dict[tuple[str, tuple[int, ...]], list[Unit]] = {}
    for unit in space_units:
        kinds.setdefault((repr(unit.module), tuple(unit.x.shape)), []).append(unit)
    taken: list[list[float]] = [[] for _ in kinds]
    for turn in range(UNIT_ROUNDS):
        if turn % 10 == 0:
            say(f"measuring {len(kinds)} blocks, round {turn + 1} of {UNIT_ROUNDS}")
        for times, (unit, *_) in zip(taken, kinds.values(), strict=True):
            start = time.perf_counter()
            unit.module(unit.x)
            times.append(time.perf_counter() - start)
    return {
        unit.name: statistics.median(times) for times, same in zip(taken, kinds.values(), strict=True) for unit in same
    }
