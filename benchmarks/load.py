"""What a busy machine does to a search: busy loops on every core, and a program that writes to the disk.

    python benchmarks/load.py tuner [--loops 4]      how long the tuner's process needs before it can connect to NNI's manager
    python benchmarks/load.py hammer [--minutes 5]   whether the manager leaves requests without an answer
    python benchmarks/load.py demo [--times 5]       how often the digits example comes to its end, and what was asked again

``--loops`` is the number of busy loops per core (``tuner``: as many as there are given, one row each).
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "digits" / "experiment.yml"

SPIN = "while True: pass"
WRITE = """
import os, sys
block = os.urandom(1 << 20)
while True:
    with open(sys.argv[1], "wb") as file:
        for _ in range(512):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
"""

TUNER = """
import time
started = float({started!r})
import nni.__main__
imported = time.time()
from nni_earlyexit.integration.tuner import EarlyExitTuner
EarlyExitTuner(space="digits", max_avg_macs="600k")
print(imported - started, time.time() - imported)
"""

# The command with its requests to the manager that had to be made again on stderr.
LOGGED = """
import logging, sys
logging.basicConfig(level=logging.WARNING)
logging.getLogger("nni_earlyexit.integration.rest").setLevel(logging.INFO)
from nni_earlyexit.cli.main import main
main()
"""


@contextmanager
def load(loops: int) -> Iterator[None]:
    """So many busy loops on every core, and one writer if there are any."""
    with tempfile.TemporaryDirectory() as folder:
        commands = [["-c", SPIN]] * (loops * (os.cpu_count() or 1))
        commands += [["-c", WRITE, str(Path(folder) / "block")]] if loops else []
        processes = [subprocess.Popen([sys.executable, *command]) for command in commands]
        try:
            yield
        finally:
            for process in processes:
                process.kill()
                process.wait()


def tuner(given: argparse.Namespace) -> int:
    for loops in given.loops or (0, 1, 2, 4):
        with load(loops):
            nni, ours = zip(*(_connects() for _ in range(given.times)), strict=True)
        print(
            f"{loops} busy loops per core: Python and NNI {statistics.median(nni):.1f} s (at most {max(nni):.1f}), "
            f"our tuner {statistics.median(ours):.2f} s more (at most {max(ours):.2f}), {given.times} times",
            flush=True,
        )
    return 0


def _connects() -> tuple[float, float]:
    script = TUNER.format(started=time.time())
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    nni, ours = said.stdout.split()
    return float(nni), float(ours)


def hammer(given: argparse.Namespace) -> int:
    """Many clients at once, without a pause and without a second try, while trials train."""
    import requests
    from nni_earlyexit.experiment.manager import Manager

    counts: Counter[str] = Counter()
    over = threading.Event()
    with load((given.loops or [2])[0]):
        manager = Manager.start(EXAMPLE, given.port)

        def ask() -> None:
            while not over.is_set():
                for path in ("check-status", "trial-jobs", "experiment", "metric-data"):
                    try:
                        requests.get(f"{manager.address}/api/v1/nni/{path}", timeout=30).json()
                        counts["answers"] += 1
                    except (requests.RequestException, ValueError) as error:
                        counts[f"{type(error).__name__}: {error}"[:160]] += 1

        clients = [threading.Thread(target=ask) for _ in range(given.clients)]
        for client in clients:
            client.start()
        time.sleep(60 * given.minutes)
        over.set()
        for client in clients:
            client.join()
        lives = manager.lives()
        manager.stop()
    for what, count in counts.most_common():
        print(f"{count:,} {what}")
    print(f"{given.clients} clients, {given.minutes:g} minutes; the manager {'lives' if lives else 'is gone'}")
    return 0 if lives and len(counts) == 1 else 1


def demo(given: argparse.Namespace) -> int:
    well = 0
    with load((given.loops or [2])[0]):
        for number in range(1, given.times + 1):
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as results:
                command = ["-c", LOGGED, "run", str(EXAMPLE), "--port", str(given.port), "--results", results]
                done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
                front = (Path(results) / "front.json").is_file()
            well += done.returncode == 0 and front
            again = done.stderr.count("is asked again")
            trials = [line for line in done.stdout.splitlines() if " trials" in line and "best so far" in line]
            print(
                f"demo {number}: exit code {done.returncode} after {time.perf_counter() - start:.0f} s, "
                f"{again} requests asked again, {trials[-1] if trials else done.stdout + done.stderr}",
                flush=True,
            )
    print(f"{well} of {given.times} came to their end")
    return 0 if well == given.times else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("tuner", "hammer", "demo"))
    parser.add_argument("--loops", type=int, nargs="+", help="busy loops per core (tuner: 0 1 2 4; else 2)")
    parser.add_argument("--times", type=int, default=5, help="repeats (5)")
    parser.add_argument("--minutes", type=float, default=5, help="of hammering (5)")
    parser.add_argument("--clients", type=int, default=16, help="of hammering (16)")
    parser.add_argument("--port", type=int, default=8080, help="of NNI's manager (8080)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended
    return {"tuner": tuner, "hammer": hammer, "demo": demo}[given.part](given)


if __name__ == "__main__":
    sys.exit(main())
