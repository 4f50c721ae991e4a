"""Trials a minute with several workers, and what a trial costs the machine that searches.

    python benchmarks/workers.py [--workers 1 2 4] [--trials 12] [--seconds 30]

Each worker is an SSH server on this machine with a home of its own, and NNI's remote platform runs one trial at a time on
each. A trial waits in place of a training, as one on a GPU leaves the processor alone; all else is as in any search of the
digits. A line for each number of workers: trials a minute from the first start to the last end; seconds of a trial, and from
the end of one to the start of the next on the same worker (medians); milliseconds of the processor that tuner, manager and
``run`` spent on a trial, and MB of memory of each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "end_to_end"))

import yaml
from nni_earlyexit.experiment import workers
from nni_earlyexit.experiment.environment import programs
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.integration.rest import NoAnswer
from soak import Parts
from ssh_worker import ssh_worker, trusting
from support import free_port, own_space

TRIAL = "python -m nni_earlyexit.trial --epochs 1 --threads 1 --start warm"


def measure(count: int, most: int, given: argparse.Namespace, folder: Path) -> list[float]:
    """The numbers of the line for so many workers and trials."""
    with ExitStack() as servers:
        machines = [servers.enter_context(ssh_worker(folder, f"worker{i}"))[0] for i in range(count)]
        numbers = {str(number) for number in range(most)}
        project = folder / "project"
        config: dict[str, Any] = {
            **own_space(project, numbers, f"time.sleep({given.seconds})", TRIAL),
            "experimentName": "workers",
            "experimentWorkingDirectory": str(folder / "nni"),
            "trialConcurrency": count,
            "maxTrialNumber": most,
            "nniManagerIp": "127.0.0.1",
            "trainingService": {"platform": "remote", "machineList": machines},
        }
        config["tuner"]["classArgs"]["strategy"] = given.strategy
        (project / "experiment.yml").write_text(yaml.safe_dump({k: v for k, v in config.items() if v is not None}))
        command = [str(programs() / "nni-earlyexit"), "run", str(project / "experiment.yml")]
        command += ["--port", str(free_port()), "--results", str(folder / "results")]
        variables = {**os.environ, "PYTHONPATH": str(project)}
        with (folder / "said").open("wb") as said:
            run = subprocess.Popen(command, stdout=said, stderr=said, env=variables)
        while not (managers := Manager.all_from(project / "experiment.yml")):
            if run.poll() is not None:
                raise SystemExit((folder / "said").read_text())
            time.sleep(0.2)
        (manager,) = managers
        parts = Parts(manager.id, run.pid)
        trials: list[dict[str, Any]] = []
        begun: list[float] | None = None
        while run.poll() is None and sum(trial["status"] == "SUCCEEDED" for trial in trials) < most - 1:
            time.sleep(0.5)
            parts.look()
            try:
                trials = manager.trials()
                begun = begun or (parts.ms_per(1) if any("startTime" in trial for trial in trials) else None)
            except NoAnswer:
                continue
        spent, memory = parts.ms_per(most), parts.memory()
        run.wait()
    if run.returncode != 0:
        raise SystemExit((folder / "said").read_text())
    ended = [trial for trial in trials if "endTime" in trial]
    starts = sorted(trial["startTime"] for trial in trials if "startTime" in trial)
    ends = sorted(trial["endTime"] for trial in ended)
    gaps = [after - before for before, after in zip(ends, starts[count:], strict=False)]
    a_minute = len(ended) / (ends[-1] - starts[0]) * 60_000
    seconds = statistics.median(trial["endTime"] - trial["startTime"] for trial in ended) / 1000
    return [a_minute, seconds, statistics.median(gaps) / 1000, *spent, *memory]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="numbers of them (1 2 4)")
    parser.add_argument("--trials", type=int, default=12, help="for each worker (12)")
    parser.add_argument("--seconds", type=float, default=30, help="that a trial waits (30)")
    parser.add_argument("--strategy", default="nsga2", help="of the tuner (nsga2)")
    given = parser.parse_args()
    print("workers, trials a minute, s of a trial, s between two, ms of tuner, manager, run, MB of tuner, manager, run")
    for count in given.workers:
        with tempfile.TemporaryDirectory(prefix="workers", ignore_cleanup_errors=True) as name:
            os.environ["HOME"] = name  # nnictl keeps its list of experiments there
            os.environ[workers.SSH] = trusting(Path(name))
            numbers = measure(count, count * given.trials, given, Path(name))
        print(f"{count:>7} " + " ".join(f"{number:9.1f}" for number in numbers), flush=True)


if __name__ == "__main__":
    main()
