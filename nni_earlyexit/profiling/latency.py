"""Seconds until each exit, on this machine: measured of a network, and predicted of a sample.

Every unit of a space is run once in each of many rounds through all of them (:mod:`nni_earlyexit.profiling.units`), so that it
finds the caches as it does in a network, full of something else. The seconds of a sample are the sum of its units', times a
factor near 1 that is measured on a few whole networks.

Machines get faster and slower by the minute. What is to be compared is therefore measured in turns, several times over.
"""

from __future__ import annotations

import copy
import json
import math
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from nni_earlyexit.nn.inference import example
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.profiling.unit_costs import AdditiveCosts
from nni_earlyexit.profiling.units import Unit, is_fixed, take_apart, units
from nni_earlyexit.space import EarlyExitSpace
from nni_earlyexit.utils.checks import check_number, lookup
from nni_earlyexit.utils.files import write_json
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)

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
            check_number(name, getattr(self, name), 1)
        lookup(DTYPES, self.dtype, "dtype")

    def inputs(self, input_shape: Sequence[int]) -> Tensor:
        """Inputs of that type: random images, in the memory format that is fastest for them, or sentences."""
        x = example(input_shape, self.batch_size)
        if x.dtype == torch.long:
            return x
        x = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(DTYPES[self.dtype])
        return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x

    def prepared(self, network: ModuleT) -> ModuleT:
        """A copy of ``network`` to measure: of that type, on the CPU, channels last as in training."""
        # made outside of inference mode and apart from the original, which can then be trained on, unrounded
        return copy.deepcopy(network).to("cpu", DTYPES[self.dtype]).to(memory_format=torch.channels_last).eval()


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

    A copy is measured; the network stays as it is.
    """
    conditions = Conditions(batch_size, threads, dtype)
    check_number("warmup", warmup, 0)
    check_number("repeats", repeats, 1)
    copied, x = conditions.prepared(network), conditions.inputs(network.input_shape)
    with _running(threads):
        passes = _passes(copied, x, warmup, repeats)
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
    copies = [(conditions.prepared(network), conditions.inputs(network.input_shape)) for network in networks]
    medians: list[list[list[float]]] = [[] for _ in networks]
    with _running(threads):
        for _ in range(rounds):
            for found, (copied, x) in zip(medians, copies, strict=True):
                passes = _passes(copied, x, 2, repeats)
                found.append([statistics.median(exit) for exit in zip(*passes, strict=True)])
    return [
        [Measurement(statistics.median(exit), _spread(exit)) for exit in zip(*found, strict=True)] for found in medians
    ]


def _passes(network: EarlyExitNetwork, x: Tensor, warmup: int, repeats: int) -> list[list[float]]:
    """Seconds until each exit, of each pass."""
    passes = []
    for repeat in range(warmup + repeats):
        seconds = []
        start = time.perf_counter()
        for _ in network.outputs(x):
            seconds.append(time.perf_counter() - start)
        if repeat >= warmup:
            passes.append(seconds)
    return passes


def _spread(seconds: Sequence[float]) -> float:
    first, third = np.quantile(seconds, [0.25, 0.75])
    return float(third - first)


@contextmanager
def _running(threads: int) -> Iterator[None]:
    """So many CPU threads and no gradients; the number of threads that there was comes back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    # glibc gives large blocks back to the system, and takes page faults to have them again, until it has seen one that
    # large freed; without this, the same network takes up to half as long again, depending on what ran before it
    torch.empty(31 * 2**20, dtype=torch.uint8).fill_(0)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def machine() -> dict[str, str]:
    """What latency depends on beside the conditions: the processor and the versions of what runs on it."""
    processor, cores = platform.processor(), os.cpu_count()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE)
        processor = found[1].strip() if found else processor
    onednn = re.search(r"(?:MKL-DNN|oneDNN) v([\d.]+)", torch.__config__.show())
    return {
        "processor": f"{processor}, {cores} cores",
        "architecture": platform.machine(),
        "torch": torch.__version__,
        "onednn": onednn[1] if onednn else "none",
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
        network, x = conditions.prepared(space.network), conditions.inputs(space.input_shape)
        with _running(threads):
            seconds = _measure_units(list(units(take_apart(network, x))), say)
        del network  # whole networks are measured next, and memory of a space's is theirs
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
        """What gives the seconds until each present exit of a sample of ``space``, which must be the table's."""
        self._check_space(space)
        parts = take_apart(space.network, example(space.input_shape))
        return AdditiveCosts(space.network, parts, lambda unit: self.factor * self.seconds[unit.name])

    def save(self, path: Path | str) -> None:
        """Write the table as JSON."""
        write_json(Path(path), {"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, path: Path | str, space: EarlyExitSpace | None = None) -> LatencyTable:
        """The table in ``path``.

        Raises ``FileNotFoundError`` when there is none, and ``ValueError`` when it is broken, or of another format, machine
        or version, or of another space than ``space``, where one is given.
        """
        path = Path(path)
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
        except (ValueError, KeyError, TypeError, AttributeError):
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
        if self.space != space.identity():
            raise _refused(f"is of space {self.space!r}, not {space.identity()!r}", space.identity(), path)
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
    file, output = ("the table", "latency.json") if path is None else (repr(str(path)), path)
    return ValueError(
        f"latency_table: {file} {what}; measure again with 'nni-earlyexit latency {space or 'SPACE'} --output {output}'"
    )


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
