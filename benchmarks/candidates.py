"""Networks an hour with the weights of a supernet: in one process, and as trials of an experiment of NNI's.

    python benchmarks/candidates.py SPACE --supernet FILE --data folder:PATH [--networks 100] [--cold 10]

The same networks in every row, drawn at random. In a process, one after another is evaluated by ``EarlyExitEvaluator``, with as
many threads as there are cores. Through ``nnictl``, each is a trial with a row, files and a log of its own, which writes its
weights and outputs; as many run at once as there are cores, each with one thread. The time is that from the start of the first
trial to the end of the last one, so that preparing the process that trials are forked from counts. ``--cold`` is the number of
trials that start Python, torch and NNI each for itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import yaml
from nni_earlyexit import EarlyExitEvaluator, search_spaces
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.experiment.registration import register
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.utils.progress import say
from nni_earlyexit.utils.tables import aligned

CORES = len(os.sched_getaffinity(0))


def in_process(space: EarlyExitSpace, arguments: argparse.Namespace, threads: int) -> list[str]:
    """The row of one process."""
    evaluator = EarlyExitEvaluator(data=arguments.data, weights=str(arguments.supernet), threads=threads)
    rng = np.random.default_rng(0)
    samples = [space.sample(rng) for _ in range(arguments.networks)]
    evaluator.evaluate(space.freeze(samples[0]))  # reads the supernet
    start = time.perf_counter()
    for sample in samples:
        torch.manual_seed(0)
        evaluator.evaluate(space.freeze(sample))
    return row(f"one process, {threads} threads", time.perf_counter() - start, arguments.networks, memory())


def memory() -> int:
    """Bytes of this process."""
    return int(psutil.Process().memory_info().rss)


def through_nnictl(
    space: EarlyExitSpace, arguments: argparse.Namespace, start: str, trials: int, at_once: int
) -> list[str]:
    """The row of an experiment."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "search_space.json").write_text(json.dumps(space.search_space()))
        config: dict[str, Any] = {
            "searchSpaceFile": "search_space.json",
            "trialCommand": f"python -m nni_earlyexit.trial --data {arguments.data} --threads 1 "
            f"--weights {arguments.supernet.resolve()} --start {start}",
            "trialConcurrency": at_once,
            "maxTrialNumber": trials,
            "experimentWorkingDirectory": str(folder / "nni"),
            "tuner": {"name": "EarlyExit", "classArgs": {"strategy": "random", "seed": 0}},
            "trainingService": {"platform": "local"},
        }
        (folder / "experiment.yml").write_text(yaml.safe_dump(config))
        manager = Manager.start(folder / "experiment.yml", arguments.port)
        try:
            while not manager.has_ended(manager.status(), jobs := manager.trials()):
                time.sleep(0.5)
        finally:
            manager.stop()
    good = [job for job in jobs if job["status"] == "SUCCEEDED"]
    seconds = (max(job["endTime"] for job in good) - min(job["startTime"] for job in good)) / 1000
    each = statistics.median(job["endTime"] - job["startTime"] for job in good) / 1000
    name = f"nnictl, {start}, {at_once} at once"
    say(f"{name}: {len(good)} of {trials} trials succeeded, median {each:.2f} s from start to end")
    return row(name, seconds, len(good), None)


def row(name: str, seconds: float, networks: int, size: int | None) -> list[str]:
    """A row of the table."""
    cells = [name, str(networks), f"{seconds / networks:.2f}", f"{3600 * networks / seconds:,.0f}"]
    say(" ".join(cells))
    return [*cells, "" if size is None else f"{size / 2**20:,.0f}"]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", nargs="+")
    parser.add_argument("--supernet", type=Path, required=True)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--cold", type=int, default=10)
    parser.add_argument("--port", type=int, default=8390)
    arguments = parser.parse_args()
    space = search_spaces.create(" ".join(arguments.space))
    register()
    rows = [
        through_nnictl(space, arguments, "warm", arguments.networks, CORES),
        through_nnictl(space, arguments, "warm", arguments.networks, 1),
        *([through_nnictl(space, arguments, "cold", arguments.cold, CORES)] if arguments.cold else []),
        in_process(space, arguments, 1),
        in_process(space, arguments, CORES),
    ]
    print(aligned(["way", "networks", "seconds each", "an hour", "MiB"], rows))


if __name__ == "__main__":
    main()
