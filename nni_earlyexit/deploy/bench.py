"""How fast a bundle is on this machine, beside the same network without exits: seconds, not MACs.

All ways answer the same inputs, some at a time in turn, so that whatever else the machine does slows all of them. Without
exits, a network is one module of PyTorch, or one graph of onnxruntime, and no branch is run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nni_earlyexit.deploy.bundle import load_network
from nni_earlyexit.deploy.onnx_files import export_onnx
from nni_earlyexit.deploy.portable import restored
from nni_earlyexit.deploy.segments import TorchSegments, fast_segments
from nni_earlyexit.nn.layout import in_channels_last
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.runtime.bundle import FLOAT32, INT8, Bundle
from nni_earlyexit.runtime.onnx_predictor import NESTED, OnnxSegments, segment_file
from nni_earlyexit.runtime.routing import Prediction, Router, Segments, measure
from nni_earlyexit.space.latency_table import LatencyTable
from nni_earlyexit.thresholds.policy import ExitPolicy
from numpy.typing import NDArray
from torch import nn

RAPL = Path("/sys/class/powercap")
BLOCK = 64
"""Inputs that one way answers before it is the next one's turn."""
WARM_UP = 8
"""Inputs at the beginning of a turn that do not count."""

Answer = Callable[[NDArray[Any]], NDArray[np.floating]]
"""Gives the logits (inputs, classes) of a batch."""


@dataclass(frozen=True)
class Speed:
    """The speed of one way to answer.

    Attributes
    ----------
    p50, p95, p99, mean
        Seconds of a batch: the median, what 95% and 99% of the batches take at most, and the mean.
    accuracy
        Share of the inputs whose class is right.
    joules
        Energy of an input, where the machine tells it.
    """

    p50: float
    p95: float
    p99: float
    mean: float
    accuracy: float
    joules: float | None


@dataclass(frozen=True)
class Predicted:
    """Mean seconds of a batch by a latency table, for the exits that the inputs left at, and without exits."""

    seconds: float
    static_seconds: float

    @property
    def speedup(self) -> float:
        """Seconds without exits over those with them."""
        return self.static_seconds / self.seconds


@dataclass(frozen=True)
class Row:
    """One engine with one batch size.

    Attributes
    ----------
    engine, batch_size
        Such as ``"onnxruntime int8"``, and inputs at a time.
    exits, static, peer
        The bundle with its exits, its network without them, and the static network that it is compared with, if there is one.
        The latter two compute with float32.
    promise
        Speed-up by MACs: those of the network without exits over the average with them.
    predicted
        Seconds by a latency table, where one was given and is about this.
    by_exit
        Median seconds of the inputs that leave at each exit, for one input at a time; NaN where none did.
    """

    engine: str
    batch_size: int
    exits: Speed
    static: Speed
    peer: Speed | None
    promise: float
    predicted: Predicted | None
    by_exit: Sequence[float]

    @property
    def speedup(self) -> float:
        """Mean seconds without exits over those with them."""
        return self.static.mean / self.exits.mean

    @property
    def kept(self) -> float:
        """Share of the promise that is kept."""
        return self.speedup / self.promise

    @property
    def peer_speedup(self) -> float | None:
        """Mean seconds of the other static network over those with exits."""
        return None if self.peer is None else self.peer.mean / self.exits.mean

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; an exit that nothing left at has ``null``."""
        by_exit = [None if np.isnan(seconds) else seconds for seconds in self.by_exit]
        ratios = {"speedup": self.speedup, "kept": self.kept, "peer_speedup": self.peer_speedup}
        return {**asdict(self), "by_exit": by_exit, **ratios}


@dataclass(frozen=True)
class _Engine:
    """The ways that are compared in one engine."""

    name: str
    numbers: str
    segments: Segments[Any]
    static: Answer
    peer: Answer | None


def bench(
    bundle: Bundle,
    x: NDArray[Any],
    y: NDArray[np.integer],
    batch_sizes: Sequence[int] = (1, 8, 64),
    threads: int = 1,
    *,
    peer: EarlyExitNetwork | None = None,
    latency_table: Path | None = None,
) -> list[Row]:
    """Measure ``bundle`` in PyTorch and, as far as it was exported, onnxruntime. PyTorch uses the GPU where there is one.

    Parameters
    ----------
    bundle
        The bundle.
    x, y
        Prepared inputs (inputs, ...) and their classes (inputs,).
    batch_sizes, threads
        Inputs at a time, and CPU threads.
    peer
        A network with one exit that takes the same inputs, to be measured too.
    latency_table
        A table of the bundle's space on this machine, by which PyTorch's seconds are predicted.

    Raises
    ------
    ValueError
        For a table of another machine or space, or of other threads or batch sizes than these.
    """
    table = None if latency_table is None else _table(bundle, latency_table, batch_sizes, threads)
    torch.set_num_threads(threads)
    network = load_network(bundle)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        engines = [
            _Engine(
                "PyTorch",
                FLOAT32,
                TorchSegments(network, device),
                torch_static(network, device),
                None if peer is None else torch_static(peer, device),
            )
        ]
        if segment_file(0) in bundle.checksums:
            static = onnx_static(network, Path(scratch) / "static", threads)
            other = None if peer is None else onnx_static(peer, Path(scratch) / "peer", threads)
            for numbers in (FLOAT32, INT8):
                if numbers in bundle.fits:
                    name = "onnxruntime" if numbers == FLOAT32 else f"onnxruntime {numbers}"
                    segments = OnnxSegments.of_bundle(bundle, numbers, threads)
                    engines.append(_Engine(name, numbers, segments, static, other))
        for engine in engines:
            for size in batch_sizes:
                row, exits = _row(bundle, engine, x, y, size)
                tabled = engine.name == "PyTorch" and device.type == "cpu"  # what a table is measured with
                if table is not None and tabled and table.conditions.batch_size == size:
                    row = replace(row, predicted=predicted(bundle, table, exits))
                rows.append(row)
    return rows


def predicted(bundle: Bundle, table: LatencyTable, exits: NDArray[np.intp]) -> Predicted:
    """Seconds of a batch by a latency table, given the exits (inputs,) of float32 that inputs leave at."""
    space, own = restored(bundle), bundle.architecture
    seconds = table.predictor(space).seconds(own.sample)
    kept = list(own.kept)
    branches = np.asarray(seconds.branches)[kept]
    trunk = (np.asarray(seconds.until) - np.cumsum(seconds.branches))[kept]
    spent = np.array(bundle.policy.costs_without_dropped((trunk + branches.cumsum()).tolist(), branches.tolist()))
    return Predicted(float(spent[exits].mean()), float(trunk[-1] + branches[-1]))


def _table(bundle: Bundle, path: Path, batch_sizes: Sequence[int], threads: int) -> LatencyTable:
    table = LatencyTable.load(path, restored(bundle))
    own = table.conditions
    if own.batch_size not in batch_sizes or own.threads != threads or own.dtype != FLOAT32:
        raise ValueError(
            f"latency_table: {str(path)!r} is of {own.batch_size} at a time, {own.threads} threads and {own.dtype}; that is "
            "not measured here"
        )
    return table


def _row(
    bundle: Bundle, engine: _Engine, x: NDArray[Any], y: NDArray[np.integer], size: int
) -> tuple[Row, NDArray[np.intp]]:
    """The row, and the exits (inputs,) that the inputs left at."""
    policy = bundle.fit(engine.numbers).policy
    spent, segments = np.asarray(bundle.costs_under(policy)), engine.segments
    router = Router(segments, bundle.architecture.num_classes, measure(segments, x[:size]) if size > 1 else None)
    routed = partial(router, policy=policy, spent=spent)
    answers: list[Callable[[NDArray[Any]], Any]] = [routed, engine.static]
    if engine.peer is not None:
        answers.append(engine.peer)
    ways = [_Way(answer) for answer in answers]
    count = len(x) // size
    block = max(1, BLOCK // size)
    for start in range(0, count, block):
        batches = [x[place * size : (place + 1) * size] for place in range(start, min(start + block, count))]
        for way in ways:
            way.take_turn(batches)
    predictions: list[Prediction] = ways[0].said
    exits = np.concatenate([own.exits for own in predictions])
    first = np.array([own.exits[0] for own in predictions])
    speeds = [
        way.speed(classes, y)
        for way, classes in zip(
            ways,
            [
                np.concatenate([own.classes for own in predictions]),
                *(np.concatenate(way.said).argmax(axis=-1) for way in ways[1:]),
            ],
            strict=True,
        )
    ]
    taken = np.array(ways[0].seconds)
    row = Row(
        engine=engine.name,
        batch_size=size,
        exits=speeds[0],
        static=speeds[1],
        peer=speeds[2] if len(speeds) > 2 else None,
        promise=float(bundle.architecture.static_macs / spent[exits].mean()),
        predicted=None,
        by_exit=[
            float(np.median(taken[first == exit])) if size == 1 and (first == exit).any() else float("nan")
            for exit in range(segments.count)
        ],
    )
    return row, exits


class _Way:
    """One way to answer: what it said to each batch, and the seconds that it took."""

    def __init__(self, answer: Callable[[NDArray[Any]], Any]) -> None:
        self.answer = answer
        self.said: list[Any] = []
        self.seconds: list[float] = []
        self._joules: float | None = 0.0

    def take_turn(self, batches: Sequence[NDArray[Any]]) -> None:
        """Answer some batches."""
        for batch in batches[: 1 + WARM_UP // len(batches[0])]:  # its weights come back into the processor's memory
            self.answer(batch)
        before = _joules()
        for batch in batches:
            begin = time.perf_counter()
            said = self.answer(batch)
            self.seconds.append(time.perf_counter() - begin)
            self.said.append(said)
        used = _used(before, _joules())
        self._joules = None if self._joules is None or used is None else self._joules + used

    def speed(self, classes: NDArray[np.intp], y: NDArray[np.integer]) -> Speed:
        """Its speed, given the classes (inputs,) that it said."""
        p50, p95, p99 = (float(own) for own in np.quantile(self.seconds, [0.5, 0.95, 0.99]))
        accuracy = float((classes == y[: len(classes)]).mean())
        joules = None if self._joules is None else self._joules / len(classes)
        return Speed(p50, p95, p99, float(np.mean(self.seconds)), accuracy, joules)


def torch_static(network: EarlyExitNetwork, device: torch.device) -> Answer:
    """The backbone of ``network`` and its last classifier as one module."""
    segments = fast_segments(network, device)
    bodies = [*(segment.body for segment in segments), segments[-1].branch]
    whole = in_channels_last(nn.Sequential(*bodies).to(device).eval())

    def answer(x: NDArray[Any]) -> NDArray[np.floating]:
        batch = torch.from_numpy(x).to(device)
        if batch.ndim == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            logits: NDArray[np.floating] = whole(batch).float().cpu().numpy()
            return logits

    return answer


def onnx_static(network: EarlyExitNetwork, folder: Path, threads: int) -> Answer:
    """The backbone of ``network`` and its last classifier as one graph, written to ``folder``, for any number of inputs."""
    alone = network.keep([len(network.exit_stages) - 1])  # one segment
    export_onnx(alone, ExitPolicy((-np.inf,)), folder)
    (folder / NESTED).unlink(missing_ok=True)
    return static_session(folder / segment_file(0), threads)


def static_session(file: Path, threads: int) -> Answer:
    """The one segment in ``file`` for onnxruntime."""
    segments = OnnxSegments([file], threads)

    def answer(x: NDArray[Any]) -> NDArray[np.floating]:
        _, logits = segments.run(0, x, with_exit=True)
        if logits is None:
            raise AssertionError("logits were asked for")
        return logits

    return answer


def _joules() -> list[tuple[float, float]]:
    """Joules that each processor has used (Intel's RAPL), and those at which it starts again; empty if it does not say."""
    try:
        return [
            (_number(place / "energy_uj") / 1e6, _number(place / "max_energy_range_uj") / 1e6) for place in _packages()
        ]
    except (OSError, ValueError):
        return []


def _number(path: Path) -> float:
    return float(path.read_text())


def _used(before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]) -> float | None:
    """The joules between two looks; ``None`` where the machine does not tell."""
    if not before or len(before) != len(after):
        return None
    return sum(b - a if b >= a else b - a + most for (a, most), (b, _) in zip(before, after, strict=True))


def _packages() -> list[Path]:
    return sorted(RAPL.glob("intel-rapl:[0-9]"))
