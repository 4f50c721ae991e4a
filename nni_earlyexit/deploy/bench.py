"""How fast a bundle is on this machine, beside the same network without exits: seconds, not MACs.

Both answer the same inputs, some at a time in turn, so that whatever else the machine does slows both. Without exits, the
network is one module of PyTorch, or one graph of onnxruntime, and no branch is run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nni_earlyexit.deploy.bundle import load_network
from nni_earlyexit.deploy.onnx_files import export_onnx
from nni_earlyexit.deploy.segments import TorchSegments, fast_segments
from nni_earlyexit.nn.layout import in_channels_last
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.runtime.bundle import FLOAT32, INT8, Bundle
from nni_earlyexit.runtime.onnx_predictor import NESTED, OnnxSegments, segment_file
from nni_earlyexit.runtime.routing import Router, Segments, measure
from nni_earlyexit.thresholds.policy import ExitPolicy
from numpy.typing import NDArray
from torch import nn

RAPL = Path("/sys/class/powercap")
BLOCK = 64
"""Inputs that one way answers before it is the other's turn."""
WARM_UP = 8
"""Inputs at the beginning of a turn that do not count."""

Answer = Callable[[NDArray[Any]], object]


@dataclass(frozen=True)
class Row:
    """One way to run a network, with one batch size.

    Attributes
    ----------
    engine, batch_size
        Such as ``"onnxruntime int8"``, and inputs at a time.
    seconds, static_seconds
        Median seconds of a batch, with exits and without.
    p95, p99
        Seconds that 95% and 99% of the batches take at most, with exits.
    speedup
        Mean seconds without exits over those with them.
    promise
        The same of MACs: those of the network without exits over the average with them.
    by_exit
        Median seconds of the inputs that leave at each exit, for one input at a time.
    joules, static_joules
        Energy of an input, where the machine tells it.
    """

    engine: str
    batch_size: int
    seconds: float
    static_seconds: float
    p95: float
    p99: float
    speedup: float
    promise: float
    by_exit: Sequence[float]
    joules: float | None
    static_joules: float | None

    @property
    def kept(self) -> float:
        """Share of the promise that is kept."""
        return self.speedup / self.promise

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; an exit that nothing left at has ``null``."""
        by_exit = [None if np.isnan(seconds) else seconds for seconds in self.by_exit]
        return {**asdict(self), "by_exit": by_exit, "kept": self.kept}


def bench(bundle: Bundle, x: NDArray[Any], batch_sizes: Sequence[int] = (1, 8, 64), threads: int = 1) -> list[Row]:
    """Measure the ``bundle`` with prepared inputs ``x`` (inputs, ...), in PyTorch and, as far as it was exported, onnxruntime.

    PyTorch uses the GPU where there is one.
    """
    torch.set_num_threads(threads)
    network = load_network(bundle)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    ways: list[tuple[str, Segments[Any], Answer, str]] = [
        ("PyTorch", TorchSegments(network, device), _torch_static(network, device), FLOAT32)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        if segment_file(0) in bundle.checksums:
            static = _onnx_static(network, Path(scratch), threads)
            for numbers in (FLOAT32, INT8):
                if numbers in bundle.fits:
                    name = "onnxruntime" if numbers == FLOAT32 else f"onnxruntime {numbers}"
                    ways.append((name, OnnxSegments.of_bundle(bundle, numbers, threads), static, numbers))
        for name, segments, without, numbers in ways:
            for size in batch_sizes:
                rows.append(_row(bundle, name, segments, without, bundle.fit(numbers).policy, x, size))
    return rows


def _row(
    bundle: Bundle,
    name: str,
    segments: Segments[Any],
    without: Answer,
    policy: ExitPolicy,
    x: NDArray[Any],
    size: int,
) -> Row:
    spent = np.asarray(bundle.costs_under(policy))
    router = Router(segments, bundle.architecture.num_classes, measure(segments, x[:size]) if size > 1 else None)
    batches = [x[start : start + size] for start in range(0, len(x) - size + 1, size)]
    seconds, static, exits, macs = [], [], [], 0.0
    energy, static_energy = 0.0, 0.0
    block = max(1, BLOCK // size)
    for start in range(0, len(batches), block):
        own = batches[start : start + block]
        for way in (0, 1):
            for batch in own[: 1 + WARM_UP // size]:  # its weights come back into the processor's memory
                without(batch) if way else router(batch, policy, spent)
            before = _joules()
            for batch in own:
                begin = time.perf_counter()
                if way:
                    without(batch)
                    static.append(time.perf_counter() - begin)
                    continue
                answers = router(batch, policy, spent)
                seconds.append(time.perf_counter() - begin)
                exits.append(int(answers.exits[0]))
                macs += float(answers.macs.sum())
            after = _joules()
            if before is not None and after is not None:
                energy, static_energy = energy + (1 - way) * (after - before), static_energy + way * (after - before)
    count = len(batches) * size
    costs = bundle.architecture
    whole = costs.static_macs
    told = _joules() is not None
    left, taken = np.array(exits), np.array(seconds)
    return Row(
        engine=name,
        batch_size=size,
        seconds=float(np.median(seconds)),
        static_seconds=float(np.median(static)),
        p95=float(np.quantile(seconds, 0.95)),
        p99=float(np.quantile(seconds, 0.99)),
        speedup=float(np.mean(static) / np.mean(seconds)),
        promise=whole * count / macs,
        by_exit=[
            float(np.median(taken[left == exit])) if size == 1 and (left == exit).any() else float("nan")
            for exit in range(segments.count)
        ],
        joules=energy / count if told else None,
        static_joules=static_energy / count if told else None,
    )


def _torch_static(network: EarlyExitNetwork, device: torch.device) -> Answer:
    """The backbone and its own classifier as one module."""
    whole = in_channels_last(nn.Sequential(*_bodies(network, device)).to(device).eval())

    def answer(x: NDArray[Any]) -> object:
        batch = torch.from_numpy(x).to(device)
        if batch.ndim == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return whole(batch).float().cpu().numpy()

    return answer


def _bodies(network: EarlyExitNetwork, device: torch.device) -> list[nn.Module]:
    segments = fast_segments(network, device)
    return [*(segment.body for segment in segments), segments[-1].branch]


def _onnx_static(network: EarlyExitNetwork, folder: Path, threads: int) -> Answer:
    """The backbone and its own classifier as one graph, for any number of inputs."""
    last = len(network.exit_stages) - 1
    alone = network.keep([last])  # one segment
    export_onnx(alone, ExitPolicy((-np.inf,)), folder)
    (folder / NESTED).unlink(missing_ok=True)
    segments = OnnxSegments([folder / segment_file(0)], threads)
    return lambda x: segments.run(0, x, with_exit=True)


def _joules() -> float | None:
    """Joules that the processors have used since some time (Intel's RAPL); ``None`` where the machine does not tell."""
    try:
        return sum(float((place / "energy_uj").read_text()) for place in _packages()) / 1e6 if _packages() else None
    except (OSError, ValueError):
        return None


def _packages() -> list[Path]:
    return sorted(RAPL.glob("intel-rapl:[0-9]"))
