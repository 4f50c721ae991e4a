"""Reading of images: the cache, the start of a trial, memory and throughput.

    python benchmarks/data.py CIFAR10 [--large IMAGENETTE] [--repeats 5]

``CIFAR10`` is a folder with ``train/`` and ``test/``, each a folder per class of small images; ``IMAGENETTE`` one of images of
224x224, with ``train/`` and ``val/``. Everything is measured in processes of their own, with a cache of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LOAD = """
import json, resource, sys, time
import nni.nas.evaluator.pytorch, torch
from nni_earlyexit import data
data.load_settings, data.batches, data.DataSettings

def memory():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {name: int(lines[name].split()[0]) / 1e3 for name in ("RssAnon", "RssFile", "VmHWM")}

imported, start, cpu = memory(), time.perf_counter(), time.process_time()
said = []
settings = data.DataSettings(sys.argv[1], json.loads(sys.argv[2]), cache_limit=float(sys.argv[3]))
task = data.load_settings(settings, 0, said.append)
loaded = time.perf_counter() - start
next(iter(data.batches(task.train, 128, shuffle=True)))
result = {"loaded_s": loaded, "first_batch_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
"""

EPOCH = """
workers, most = int(sys.argv[4]), float(sys.argv[5])
loader = data.batches(task.train, 128, shuffle=True, workers=workers)
for _ in range(2):  # the second time, workers are there and files in the disk's cache
    start, count = time.perf_counter(), 0
    for x, y in loader:
        count += len(x)
        if time.perf_counter() - start > most:
            break
    result["images_per_s"] = count / (time.perf_counter() - start)
after = memory()
result |= {name: after[name] - imported[name] for name in after}
"""

PRINT = "\nprint(json.dumps(result))"


def measured(code: str, *arguments: Any) -> dict[str, float]:
    """The result that a process prints, and the seconds that it took."""
    start = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-c", code + PRINT, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "process_s": time.perf_counter() - start}


def small(path: str, cache: Path, repeats: int) -> None:
    source, shape = f"folder:{path}", "[3, 32, 32]"
    built = measured(LOAD, source, shape, 8e9)
    size = sum(file.stat().st_size for file in cache.rglob("*.npy"))
    print(f"cache of {path}: built in {built['loaded_s']:.1f} s, {built['cpu_s']:.1f} s of a core; {size / 1e6:.0f} MB")
    cached, digits = zip(
        *((measured(LOAD, source, shape, 8e9), measured(LOAD, "digits", "null", 8e9)) for _ in range(repeats)),
        strict=True,
    )
    for name, runs in (("from the cache", cached), ("digits", digits)):
        firsts = [run["first_batch_s"] for run in runs]
        cpu, process = (statistics.median(run[key] for run in runs) for key in ("cpu_s", "process_s"))
        print(
            f"{name}: first batch {statistics.median(firsts):.2f} s after the imports ({min(firsts):.2f} to "
            f"{max(firsts):.2f}), {cpu:.2f} s of a core; whole process {process:.1f} s"
        )
    wall, cpu = (
        statistics.median(c[key] - d[key] for c, d in zip(cached, digits, strict=True))
        for key in ("first_batch_s", "cpu_s")
    )
    print(
        f"from the cache, the first batch comes {wall:.2f} s later than that of digits, {cpu:.2f} s of a core (goal 0.5 s)"
    )
    epoch = measured(LOAD + EPOCH, source, shape, 8e9, 0, 1e9)
    print(
        f"reading batches of 128, normalised: {epoch['images_per_s']:,.0f} images/s; above the imports "
        f"{epoch['RssAnon']:.0f} MB of its own and {epoch['RssFile']:.0f} MB of mapped files, which processes share; "
        f"peak {epoch['VmHWM']:.0f} MB"
    )


def large(path: str, cache: Path) -> None:
    source, shape = f"folder:{path}", "[3, 224, 224]"
    before = sum(file.stat().st_size for file in cache.rglob("*.npy"))
    built = measured(LOAD, source, shape, 8e9)
    size = sum(file.stat().st_size for file in cache.rglob("*.npy")) - before
    print(f"cache of {path}: built in {built['loaded_s']:.1f} s, {built['cpu_s']:.1f} s of a core; {size / 1e6:.0f} MB")
    epoch = measured(LOAD + EPOCH, source, shape, 8e9, 0, 15)
    print(f"224x224 from the cache: {epoch['images_per_s']:,.0f} images/s")
    for workers in (0, 1, 2):
        epoch = measured(LOAD + EPOCH, source, shape, 1, workers, 15)
        print(
            f"224x224 streamed, {workers} workers: {epoch['images_per_s']:,.0f} images/s; first batch "
            f"{epoch['first_batch_s']:.1f} s after the imports"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cifar10")
    parser.add_argument("--large")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NNI_EARLYEXIT_CACHE"] = folder
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        small(arguments.cifar10, Path(folder), arguments.repeats)
        if arguments.large:
            large(arguments.large, Path(folder))
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
