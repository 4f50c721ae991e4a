"""Whether anything slows down in a long search.

    python benchmarks/soak.py simulate [--trials 100000] [--strategies nsga2 surrogate] [--concurrency 8] [--folder F]
    python benchmarks/soak.py real [--trials 2000] [--concurrency 8]

``simulate``: the tuner without NNI's manager, as quickly as results can be told. Accuracies are made up from a network's MACs
and chance; costs, strategy and stored state are the real ones. A line for each tenth: milliseconds of the processor a trial
spent on proposing, on taking in its result, and in both of them on storing the strategy's state; memory of the process, and
bytes of the state. With ``--folder`` the state is kept there, and a simulation that was interrupted goes on from it: the next
line is then the mean of what came since.

``real``: the digits example through ``nni-earlyexit run``, NNI's manager and trials that take next to no time. A line for each
tenth: trials a minute, milliseconds of the processor that tuner, manager and ``run`` spent on one, memory of each, sizes of
NNI's database and of the strategy's state. The exit code is 1 where the processor spends more than twice as much on a trial in
the last third as in the first.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
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
SLOWER = 2.0
"""Times as much as in the first third that the processor may spend on a trial in the last."""
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
    """Seconds of the processor that were spent in a function, so that other work on the machine does not count."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def times(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, timed."""

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += time.process_time() - start

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
        with contextlib.ExitStack() as stack:
            root = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder = root / name
            folder.mkdir(parents=True, exist_ok=True)
            os.environ["NNI_CHECKPOINT_DIRECTORY"] = str(folder)
            storing, asking, telling = Stopwatch(), Stopwatch(), Stopwatch()
            tuner = EarlyExitTuner(space=SPACE, strategy=name)
            tuner.update_search_space(space.search_space())
            if Checkpoint(folder).load(tuner.strategy):  # this simulation was interrupted
                for sample in list(tuner.strategy.pending.values()):
                    tuner.strategy.tell(sample, made_up(sample, space.exit_costs(sample)))
            tuner._save = storing.times(tuner._save)  # type: ignore[method-assign]
            propose, take_in = (
                asking.times(tuner.generate_multiple_parameters),
                telling.times(tuner.receive_trial_result),
            )
            running: deque[tuple[int, dict[str, Any]]] = deque()
            part, timed = max(1, given.trials // 10), 0
            for number in range(len(tuner.strategy.trials), given.trials):
                (parameters,) = propose([number])
                running.append((number, parameters))
                timed += 1
                if len(running) == given.concurrency:
                    known, sample = running.popleft()
                    sample = {label: value for label, value in sample.items() if label != "space"}
                    take_in(known, None, made_up(sample, space.exit_costs(sample)))
                    tuner.trial_end(known, True)
                if (number + 1) % part == 0:
                    size = sum(path.stat().st_size for path in folder.iterdir())
                    ms = [1000 * watch.taken() / timed for watch in (asking, telling, storing)]
                    timed = 0
                    times = " ".join(f"{value:8.1f}" for value in ms)
                    memory = psutil.Process().memory_info().rss / 1e6
                    print(f"{number + 1:>9,} {times} {memory:8.0f} {size / 1e6:8.1f}", flush=True)
            start = time.perf_counter()
            again = EarlyExitTuner(space=SPACE, strategy=name)
            again.update_search_space(space.search_space())
            assert Checkpoint(folder).load(again.strategy)
            assert len(again.strategy.trials) == len(tuner.strategy.trials)
            print(f"  read again in {time.perf_counter() - start:.1f} s", flush=True)


def real(given: argparse.Namespace) -> None:
    import subprocess

    import yaml
    from nni_earlyexit.experiment.environment import programs
    from nni_earlyexit.experiment.manager import Manager

    example = Path(__file__).parents[1] / "examples" / "digits" / "experiment.yml"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        config = yaml.safe_load(example.read_text()) | {
            "trialCommand": "python -m nni_earlyexit.trial --epochs 1 --threads 1 --start warm",
            "trialConcurrency": given.concurrency,
            "maxTrialNumber": given.trials,
            "experimentWorkingDirectory": str(folder / "nni"),
        }
        config["searchSpaceFile"] = str(example.parent / config["searchSpaceFile"])
        config["tuner"]["classArgs"]["strategy"] = given.strategy
        del config["maxExperimentDuration"]
        (folder / "experiment.yml").write_text(yaml.safe_dump(config))
        command = [str(programs() / "nni-earlyexit"), "run", str(folder / "experiment.yml"), "--port", str(given.port)]
        with (folder / "said").open("wb") as said:
            run = subprocess.Popen([*command, "--results", str(folder / "results")], stdout=said, stderr=said)
        print("trials, trials a minute, ms of tuner, manager, run a trial, MB of tuner, manager, run, database, state")
        while not (managers := Manager.all_from(folder / "experiment.yml")):
            if run.poll() is not None:
                raise SystemExit((folder / "said").read_text())
            time.sleep(0.2)
        (manager,) = managers
        experiment = folder / "nni" / manager.id
        finished = lambda: len(list(experiment.glob("environments/*/trials/*/trial.json")))  # noqa: E731
        parts = Parts(manager.id, run.pid)
        before, since, part = 0, time.monotonic(), max(1, given.trials // 10)
        spent: list[float] = []
        while run.poll() is None:
            time.sleep(0.1 if before + part >= given.trials else 1)  # the last line while everything still runs
            parts.look()
            count = finished()
            if count >= (len(spent) + 1) * part:
                minutes = (time.monotonic() - since) / 60
                sizes = [bytes_of(experiment / "db"), bytes_of(experiment / "checkpoint")]
                ms = parts.ms_per(count - before)
                spent.append(sum(ms))
                numbers = [*ms, *parts.memory(), *(size / 1e6 for size in sizes)]
                print(
                    f"{count:>7,} {(count - before) / minutes:8.1f} " + " ".join(f"{n:8.1f}" for n in numbers),
                    flush=True,
                )
                before, since = count, time.monotonic()
        front = json.loads((folder / "results" / "front.json").read_text())
        print(f"exit code {run.returncode}; {finished():,} networks stored, {front['trials']:,} in the front's search")
        print((folder / "said").read_text().strip().splitlines()[-1])
        third = max(1, len(spent) // 3)
        first, last = statistics.mean(spent[:third]), statistics.mean(spent[-third:])
        print(f"ms of the processor a trial: {first:.0f} in the first third, {last:.0f} in the last")
        if run.returncode or last > SLOWER * first:
            raise SystemExit(1)


class Parts:
    """The processes of a search that live as long as it does."""

    def __init__(self, experiment: str, run: int) -> None:
        self._experiment = experiment
        self._processes: dict[str, psutil.Process] = {"run": psutil.Process(run)}
        self._seconds = {"tuner": 0.0, "manager": 0.0, "run": 0.0}

    def look(self) -> None:
        """Find those that have come since."""
        from nni_earlyexit.integration import nni_processes

        if len(self._processes) == 3:
            return
        for process in nni_processes.of_experiment(self._experiment):
            try:
                command, variables = process.cmdline(), process.environ()
            except psutil.Error:
                continue
            if "--experiment-id" in command:
                self._processes["manager"] = process
            elif "nni" in command and "NNI_TRIAL_JOB_ID" not in variables:
                self._processes["tuner"] = process

    def ms_per(self, trials: int) -> list[float]:
        """Milliseconds of the processor that tuner, manager and run have used a trial since this was asked before."""
        spent = []
        for name, before in self._seconds.items():
            now = sum(self._processes[name].cpu_times()[:2])
            spent.append(1000 * (now - before) / trials)
            self._seconds[name] = now
        return spent

    def memory(self) -> list[float]:
        """MB of memory of tuner, manager and run."""
        return [self._processes[name].memory_info().rss / 1e6 for name in ("tuner", "manager", "run")]


def bytes_of(folder: Path) -> int:
    """Bytes of all files in ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    simulated = parts.add_parser("simulate")
    simulated.add_argument("--trials", type=int, default=100_000)
    simulated.add_argument("--strategies", nargs="+", default=["nsga2", "surrogate"])
    simulated.add_argument("--concurrency", type=int, default=8)
    simulated.add_argument("--folder", type=Path)
    simulated.set_defaults(run=simulate)
    through = parts.add_parser("real")
    through.add_argument("--trials", type=int, default=2000)
    through.add_argument("--concurrency", type=int, default=8)
    through.add_argument("--strategy", default="surrogate")
    through.add_argument("--port", type=int, default=8080)
    through.set_defaults(run=real)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    sys.exit(main())
