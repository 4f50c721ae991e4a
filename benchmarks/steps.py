"""Time and memory of every step from a folder of images to a measured bundle, and what the throughput means for ImageNet.

    python benchmarks/steps.py folder:PATH [--space "mobilenetv3"] [--epochs 2] [--trials 2] [--threads 2]

Each step is a command of nni-earlyexit, which is printed. Memory is the most bytes that all processes together held that were
not there before the step (resident, NNI's manager included; what they share counts once in each), so the machine should do
nothing else. The last lines say what a training costs on ImageNet's 1,281,167 images, by the images a second of this one, and
how a search shrinks with NNI's workers, each of which trains a network of its own.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from nni_earlyexit import data as data_sets
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils.amounts import format_bytes
from nni_earlyexit.utils.progress import say
from nni_earlyexit.utils.tables import aligned

IMAGENET, EPOCHS, NETWORKS = 1_281_167, 90, 100
"""Training images, epochs of one training, and networks of a search."""


class Memory(threading.Thread):
    """The most memory of all processes that were not there before."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self._before, self._ended = 0, set(psutil.pids()), threading.Event()

    def run(self) -> None:
        """Look twice a second."""
        while not self._ended.wait(0.5):
            held = 0
            for number in set(psutil.pids()) - self._before:
                with suppress(psutil.Error):
                    held += psutil.Process(number).memory_info().rss
            self.most = max(self.most, held)

    def end(self) -> int:
        """Look no more; the bytes."""
        self._ended.set()
        self.join()
        return self.most


def step(*words: object, folder: Path) -> list[str]:
    """Run a command; its name, seconds and memory."""
    command = list(map(str, words))
    say(f"$ nni-earlyexit {shlex.join(command)}")
    memory = Memory()
    memory.start()
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "nni_earlyexit.cli", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    seconds, most = time.monotonic() - start, memory.end()
    say(f"{seconds:.0f} s, {format_bytes(most)}")
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return [command[0], f"{seconds:.0f}", format_bytes(most)]


def main() -> None:
    """Run the steps in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--space", default="mobilenetv3")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="of a training; trials run one at a time")
    parser.add_argument("--most-inputs", type=int, help="most inputs of each split")
    parser.add_argument("--port", type=int, default=8391)
    given = parser.parse_args()
    data = ["--data", given.data, *(["--most-inputs", given.most_inputs] if given.most_inputs else [])]
    chosen = DataSettings(given.data, most_inputs=given.most_inputs)
    images = len(data_sets.load_settings(chosen, 0, say).train)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = [step("data", "check", given.data, folder=folder)]
        init = ("--space", given.space, "--trials", given.trials, "--epochs", given.epochs, "--concurrency", 1, "--yes")
        rows.append(step("init", *data, *init, folder=folder))
        config: dict[str, Any] = yaml.safe_load((folder / "experiment.yml").read_text())
        config |= {"experimentWorkingDirectory": str(folder / "nni"), "trialConcurrency": 1}
        config["trialCommand"] = f"{config['trialCommand'].strip()} --threads {given.threads}"
        (folder / "experiment.yml").write_text(yaml.safe_dump(config))
        rows.append(step("run", "experiment.yml", "--port", given.port, "--results", "results", folder=folder))
        front = json.loads((folder / "results" / "front.json").read_text())
        experiment = folder / "nni" / front["experiment"]
        member = front["front"][0]
        trial = Path(member["trial_folder"])
        rows.append(step("front", experiment, "--results", "again", folder=folder))
        rows.append(step("thresholds", experiment, "--trial", trial.name, "--results", "cutoffs", folder=folder))
        rows.append(step("report", experiment, folder=folder))
        rows.append(step("export", experiment, "--pick", trial.name, "--onnx", "--out", "bundle", folder=folder))
        rows.append(step("bench", "bundle", "--data", given.data, "--inputs", 200, folder=folder))
        record = json.loads((trial / "trial.json").read_text())
    print(aligned(["step", "seconds", "memory"], rows))
    seconds = record["metrics"]["train_seconds"]
    rate = given.epochs * images / seconds
    one = IMAGENET * EPOCHS / rate / 86400
    print(f"{rate:.1f} images/s; {EPOCHS} epochs of ImageNet: {one:,.0f} days; a search of {NETWORKS} such networks:")
    for workers in (1, 10, 100, 1000):
        print(f"  {workers:5,} workers like this one: {one * NETWORKS / workers:,.1f} days")


if __name__ == "__main__":
    main()
