"""Whether anything slows down in a long search.

    python benchmarks/soak.py simulate [--trials 100000] [--strategies nsga2 surrogate random]
    python benchmarks/soak.py real [--trials 2000] [--concurrency 8]

``simulate``: the tuner without NNI's manager, as quickly as results can be told. Accuracies are made up from a network's MACs
and chance; costs, strategy and stored state are the real ones. A line for each tenth: milliseconds a trial spent on proposing,
on taking in its result, and in both of them on storing the strategy's state; memory of the process, and bytes of the state.

``real``: the digits example through ``nni-earlyexit run``, NNI's manager and trials that take next to no time. A line for each
tenth: trials a minute, memory of the manager, the tuner and ``run``, bytes of NNI's database and of the strategy's state.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import psutil

SPACE = "mobilenetv3 halvings=5"
AT_ONCE = 8
POINTS = 6
"""Points of a network's trade-off."""


def made_up(sample: Mapping[str, Any], macs: Any) -> dict[str, Any]:
    """Metrics of a network as a trial reports them: more MACs help ever less, and chance does, too."""
    luck = int.from_bytes(hashlib.sha256(json.dumps(sample, sort_keys=True).encode()).digest()[:8]) / 2**64
    most = float(macs[-1])
    accuracy = 0.95 - 0.5 * (1 + most / 1e6) ** -0.7 + 0.03 * luck
    shares = [(i + 1) / POINTS for i in range(POINTS)]
    front = {"accuracy": [accuracy * (0.8 + 0.2 * s**0.5) for s in shares], "avg_macs": [most * s for s in shares]}
    chosen = {"accuracy": front["accuracy"][-1], "avg_macs": front["avg_macs"][-1]}
    return {**chosen, "default": accuracy, "front": front, "sample": dict(sample), "epochs": 1, "excess": 0.0}


class Stopwatch:
    """Seconds that were spent in a function."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def times(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, timed."""

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - start

        return timed

    def taken(self) -> float:
        """Seconds since this was asked before."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def simulate(given: argparse.Namespace) -> None:
    from nni_earlyexit import search_spaces
    from nni_earlyexit.integration.tuner import EarlyExitTuner
    from nni_earlyexit.search.checkpoint import Checkpoint

    space = search_spaces.create(SPACE)
    for name in given.strategies:
        print(
            f"{name}: trials, ms to propose, ms to take in, of them ms to store, MB of memory, MB of state", flush=True
        )
        with tempfile.TemporaryDirectory() as folder:
            os.environ["NNI_CHECKPOINT_DIRECTORY"] = folder
            storing, asking, telling = Stopwatch(), Stopwatch(), Stopwatch()
            tuner = EarlyExitTuner(space=SPACE, strategy=name)
            tuner.update_search_space(space.search_space())
            tuner._save = storing.times(tuner._save)  # type: ignore[method-assign]
            propose, take_in = (
                asking.times(tuner.generate_multiple_parameters),
                telling.times(tuner.receive_trial_result),
            )
            running: deque[tuple[int, dict[str, Any]]] = deque()
            part = max(1, given.trials // 10)
            for number in range(given.trials):
                (parameters,) = propose([number])
                running.append((number, parameters))
                if len(running) == AT_ONCE:
                    known, sample = running.popleft()
                    sample = {label: value for label, value in sample.items() if label != "space"}
                    take_in(known, None, made_up(sample, space.exit_costs(sample)))
                    tuner.trial_end(known, True)
                if (number + 1) % part == 0:
                    size = sum(path.stat().st_size for path in Path(folder).iterdir())
                    ms = [1000 * watch.taken() / part for watch in (asking, telling, storing)]
                    times = " ".join(f"{value:8.1f}" for value in ms)
                    memory = psutil.Process().memory_info().rss / 1e6
                    print(f"{number + 1:>9,} {times} {memory:8.0f} {size / 1e6:8.1f}", flush=True)
            start = time.perf_counter()
            again = EarlyExitTuner(space=SPACE, strategy=name)
            again.update_search_space(space.search_space())
            assert Checkpoint(Path(folder)).load(again.strategy)
            assert len(again.strategy.trials) == len(tuner.strategy.trials)
            print(f"  read again in {time.perf_counter() - start:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    simulated = parts.add_parser("simulate")
    simulated.add_argument("--trials", type=int, default=100_000)
    simulated.add_argument("--strategies", nargs="+", default=["nsga2", "surrogate"])
    simulated.set_defaults(run=simulate)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    sys.exit(main())
