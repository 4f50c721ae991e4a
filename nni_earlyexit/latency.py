"""Seconds until each exit, on this machine: measured of a network, and predicted of a sample.

Every unit of a space (see :mod:`nni_earlyexit.units`) is run once in each of many rounds through all of them, so that it
finds the caches as it does in a network, full of something else. The seconds of a sample are the sum of its units', times a
factor near 1 that is measured on a few whole networks.

Machines get faster and slower by the minute. What is to be compared is therefore measured in turns, several times over.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from nni_earlyexit.costs import AdditiveCosts
from nni_earlyexit.names import lookup
from nni_earlyexit.network import EarlyExitNetwork, example, inference
from nni_earlyexit.record import write_json
from nni_earlyexit.space import EarlyExitSpace
from nni_earlyexit.units import Unit, take_apart, units
from torch import Tensor

FORMAT = 1
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
UNIT_ROUNDS, NETWORK_ROUNDS = 30, 8
CALIBRATION_NETWORKS = 15
CALIBRATION_SEED = 20_000
"""Networks that a table is fitted to; other seeds give other networks to check it with."""


class Measurement(NamedTuple):
    """Seconds until an exit's logits are there.

    Attributes
    ----------
    median
        Of all repetitions.
    spread
        Between the first and the third quartile.
    """

    median: float
    spread: float


@dataclass(frozen=True)
class Conditions:
    """How latency is measured: inputs at once, CPU threads, and the type of weights and activations."""

    batch_size: int = 1
    threads: int = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}: {value!r} is not possible; a whole number from 1 is")
        lookup(DTYPES, self.dtype, "dtype")

    def inputs(self, input_shape: Sequence[int]) -> Tensor:
        """Inputs of that type: random images, in the memory format that is fastest for them, or sentences."""
        x = example(input_shape, self.batch_size)
        return x if x.dtype == torch.long else self.prepared(torch.randn_like(x))

    def prepared(self, of: Any) -> Any:
        """A module or images of that type, channels last."""
        if isinstance(of, Tensor):
            of = of.to(DTYPES[self.dtype])
            return of.contiguous(memory_format=torch.channels_last) if of.dim() == 4 else of
        return of.to(DTYPES[self.dtype]).to(memory_format=torch.channels_last)


def measure(
    network: EarlyExitNetwork,
    *,
    batch_size: int = 1,
    threads: int = 1,
    dtype: str = "float32",
    warmup: int = 5,
    repeats: int = 30,
) -> list[Measurement]:
    """Seconds until each exit of ``network``, for a batch, all exits in one pass.

    The network is brought into the memory format and type that it is measured in, and comes back in float32.
    """
    conditions = Conditions(batch_size, threads, dtype)
    passes = _passes(network, conditions, warmup, repeats)
    return [Measurement(statistics.median(exit), _spread(exit)) for exit in zip(*passes, strict=True)]


def measure_in_turns(
    networks: Sequence[EarlyExitNetwork],
    *,
    batch_size: int = 1,
    threads: int = 1,
    dtype: str = "float32",
    rounds: int = NETWORK_ROUNDS,
    repeats: int = 5,
) -> list[list[Measurement]]:
    """As :func:`measure` for several networks that are to be compared: each is measured in every one of the rounds."""
    conditions = Conditions(batch_size, threads, dtype)
    medians: list[list[list[float]]] = [[] for _ in networks]
    for _ in range(rounds):
        for found, network in zip(medians, networks, strict=True):
            passes = _passes(network, conditions, 2, repeats)
            found.append([statistics.median(exit) for exit in zip(*passes, strict=True)])
    return [
        [Measurement(statistics.median(exit), _spread(exit)) for exit in zip(*found, strict=True)] for found in medians
    ]


def _passes(network: EarlyExitNetwork, conditions: Conditions, warmup: int, repeats: int) -> list[list[float]]:
    """Seconds until each exit, of each pass."""
    x = conditions.inputs(network.input_shape)
    passes = []
    with _threads(conditions.threads), inference(network), torch.inference_mode():
        conditions.prepared(network)
        for repeat in range(warmup + repeats):
            seconds = []
            start = time.perf_counter()
            for _ in network.outputs(x):
                seconds.append(time.perf_counter() - start)
            if repeat >= warmup:
                passes.append(seconds)
        network.float()
    return passes


def _spread(seconds: Sequence[float]) -> float:
    first, third = np.quantile(seconds, [0.25, 0.75])
    return float(third - first)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    # glibc gives large blocks back to the system, and takes page faults to have them again, until it has seen one that
    # large freed; without this, the same network takes up to half as long again, depending on what ran before it
    torch.empty(31 * 2**20, dtype=torch.uint8).fill_(0)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine() -> dict[str, str]:
    """What latency depends on beside the conditions: the processor and the versions of what runs on it."""
    processor = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        processor = f"{names[0]}, {len(names)} cores" if names else processor
    return {
        "processor": processor,
        "architecture": platform.machine(),
        "torch": torch.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of every unit of a space on one machine.

    Attributes
    ----------
    space
        Identity of the space.
    machine
        As :func:`machine` gives it.
    conditions
        How it was measured.
    factor
        Seconds of whole networks, over the sum of their units' seconds.
    seconds
        Of each unit alone, by its name.
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
        with _threads(threads), inference(space.network), torch.inference_mode():
            conditions.prepared(space.network)
            try:
                found = list(units(take_apart(space.network, conditions.inputs(space.input_shape))))
                seconds = _measure_units(found, say)
            finally:
                space.network.float()
        alone = cls(space.identity(), machine(), conditions, 1.0, seconds)
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

    def predictor(self, space: EarlyExitSpace) -> Callable[[Mapping[str, Any]], list[float]]:
        """What gives the seconds until each present exit of a sample of ``space``."""
        parts = take_apart(space.network, example(space.input_shape))
        return AdditiveCosts(space.network, parts, lambda unit: self.factor * self.seconds[unit.name])

    def save(self, path: Path) -> None:
        """Write the table as JSON."""
        write_json(path, {"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, path: Path, space: EarlyExitSpace) -> LatencyTable:
        """The table in ``path``; ``ValueError`` when it is of another machine, version or space."""
        if not path.is_file():
            raise FileNotFoundError(f"latency_table: there is no file {str(path)!r}")
        again = f"measure again with 'nni-earlyexit latency {space.identity()} --output {path}'"
        try:
            content = json.loads(path.read_text())
            if content["format"] != FORMAT:
                raise ValueError(
                    f"latency_table: format {content['format']!r} of {str(path)!r} is not {FORMAT}; {again}"
                )
            table = cls(
                space=content["space"],
                machine=content["machine"],
                conditions=Conditions(**content["conditions"]),
                factor=float(content["factor"]),
                seconds={name: float(value) for name, value in content["seconds"].items()},
            )
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise ValueError(f"latency_table: {str(path)!r} is not a latency table; {again}") from None
        if table.space != space.identity():
            raise ValueError(
                f"latency_table: {str(path)!r} is of space {table.space!r}, not {space.identity()!r}; {again}"
            )
        here = machine()
        for name in here:
            if table.machine.get(name) != here[name]:
                raise ValueError(
                    f"latency_table: {str(path)!r} was measured with {name} {table.machine.get(name)!r}, "
                    f"here it is {here[name]!r}; {again}"
                )
        return table


def _measure_units(found: Sequence[Unit], say: Callable[[str], None]) -> dict[str, float]:
    """Seconds of each unit; those of the same layers on the same shape are measured as one."""
    kinds: dict[tuple[str, tuple[int, ...]], list[Unit]] = {}
    for unit in found:
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
