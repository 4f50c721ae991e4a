"""Predicted against measured latency on random networks, by a table of this machine and by MACs alone.

    python benchmarks/latency.py [networks] [space ...]

For each space, a table is built, random networks that it was not fitted to are measured in turns, and the seconds until
the last exit (and until every exit) compared with the table's, and with MACs: how well their order is that of the seconds, and
how many times as long a million of them takes in one network as in another.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from nni_earlyexit import search_spaces
from nni_earlyexit.profiling import latency
from nni_earlyexit.space import latency_table
from numpy.typing import NDArray
from scipy.stats import spearmanr

SPACES = (
    "digits",
    "mobilenetv3",
    "mobilenetv3 resolution=224 num_classes=1000",
    "mobilenetv4",
    "resnet",
    "vit",
    "text",
    "timm:resnet18",
)


def report(name: str, networks: int) -> None:
    space = search_spaces.create(name)
    start = time.perf_counter()
    table = latency_table.LatencyTable.build(space)
    built = time.perf_counter() - start
    rng = np.random.default_rng(1)
    samples = [space.sample(rng) for _ in range(networks)]
    predict = table.predictor(space)
    measured = latency.measure_in_turns([space.freeze(sample) for sample in samples], rounds=16)
    pairs = [
        [(p, m.median) for p, m in zip(predict(sample), exits, strict=True)]
        for sample, exits in zip(samples, measured, strict=True)
    ]
    full = np.array([exits[-1] for exits in pairs])
    every = np.array([pair for exits in pairs for pair in exits])
    error, errors = (abs(found[:, 0] / found[:, 1] - 1) for found in (full, every))
    macs = np.array([space.exit_costs(sample)[-1] for sample in samples]) / 1e6
    spread = np.median([exits[-1].spread / exits[-1].median for exits in measured])
    print(
        f"{space.identity()}: median error {np.median(error):.1%}, largest {error.max():.1%}, "
        f"rank correlation {spearmanr(*full.T)[0]:.3f}; every exit {np.median(errors):.1%}, {spearmanr(*every.T)[0]:.3f}; "
        f"measured {full[:, 1].min() * 1e3:.2f} to {full[:, 1].max() * 1e3:.2f} ms, spread {spread:.1%}; "
        f"built in {built:.0f} s",
        flush=True,
    )
    print(f"    by MACs alone: {by_macs(macs, full[:, 1])}", flush=True)


def by_macs(macs: NDArray[np.float64], seconds: NDArray[np.float64]) -> str:
    """How far ``macs``, in millions, mispredict the measured ``seconds`` of the same networks."""
    each = seconds / macs
    wrong = [(macs[a] - macs[b]) * (seconds[a] - seconds[b]) < 0 for a in range(len(macs)) for b in range(a)]
    return (
        f"rank correlation {spearmanr(macs, seconds)[0]:.3f}; {macs.min():.3g}M to {macs.max():.3g}M; a million takes "
        f"{each.min() * 1e6:.0f} to {each.max() * 1e6:.0f} us, {each.max() / each.min():.1f} times as long; of two networks, "
        f"the one with more MACs is the faster one in {np.mean(wrong):.0%} of all pairs"
    )


def main(networks: int = 30, *names: str) -> None:
    print(f"{latency.machine()['processor']}, {latency.Conditions()}, {networks} random networks")
    for name in names or SPACES:
        report(name, networks)


if __name__ == "__main__":
    main(*(int(argument) if argument.isdigit() else argument for argument in sys.argv[1:]))  # type: ignore[arg-type]
