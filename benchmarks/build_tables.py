"""Train every network of a tabulated sub-space and write its table.

    python benchmarks/build_tables.py digits
    python benchmarks/build_tables.py cifar10_8x8 --images FOLDER    # CIFAR-10 as images, FOLDER/CLASS/NAME.jpg

Each takes some twenty minutes on two idle cores. Results are appended to a file as they come (``--work``), so that an
interrupted run goes on where it stopped; the table is written at the end, or with ``--pack`` from what is there.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.search.domain import Sample, key
from tabular import FOLDER, pack
from tabular.spaces import TABLES, SubSpace

SEEDS = (0, 1, 2)
"""Of initial weights and batches; the last two for the networks that are repeated."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--images", type=Path, help="folder of CIFAR-10's training images, one folder per class")
    parser.add_argument("--work", type=Path, default=Path(".cache"), help="folder of results that are finished")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pack", action="store_true", help="train nothing, write the table from what is finished")
    arguments = parser.parse_args()
    table = TABLES[arguments.table]
    arguments.work.mkdir(parents=True, exist_ok=True)
    log = arguments.work / f"{arguments.table}.jsonl"
    training = dict(table.training)
    if arguments.table == "cifar10_8x8" and not arguments.pack:
        training["data"] = str(small_images(arguments.images, arguments.work / "cifar10_8x8.npz"))
    tasks = jobs(table)
    if not arguments.pack:
        train(table, training, tasks, log, arguments.processes)
    about = {"space": table.space, "choices": table.choices, "training": table.training, "canonical": table.canonical()}
    pack(about, list(finished(log)), FOLDER / f"{arguments.table}.npz")


def jobs(table: SubSpace) -> list[tuple[Sample, int]]:
    """Networks and seeds, in random order, the repeated ones last."""
    networks = table.networks()
    order = np.random.default_rng(0).permutation(len(networks))
    once = [(networks[i], SEEDS[0]) for i in order]
    return once + [(networks[i], seed) for seed in SEEDS[1:] for i in order[: table.repeated]]


def finished(log: Path) -> Iterator[dict[str, Any]]:
    """What was written, without a last line that was cut off."""
    if log.is_file():
        for line in log.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def train(
    table: SubSpace, training: dict[str, Any], tasks: list[tuple[Sample, int]], log: Path, processes: int
) -> None:
    done = {(key(result["sample"]), result["seed"]) for result in finished(log)}
    left = [(table.space, training, sample, seed) for sample, seed in tasks if (key(sample), seed) not in done]
    print(f"{len(tasks)} trainings, {len(left)} to do", flush=True)
    start = time.perf_counter()
    with get_context("spawn").Pool(processes) as pool, log.open("a") as file:
        for count, result in enumerate(pool.imap_unordered(run, left), 1):
            file.write(json.dumps(result) + "\n")
            file.flush()
            if count % 50 == 0:
                each = (time.perf_counter() - start) / count
                print(
                    f"{count}/{len(left)}, {each:.2f} s each, {each * (len(left) - count) / 60:.0f} min left",
                    flush=True,
                )


def run(job: tuple[str, dict[str, Any], Sample, int]) -> dict[str, Any]:
    """Train one network as a trial does."""
    import torch

    name, training, sample, seed = job
    torch.manual_seed(seed)
    evaluator = _evaluator(json.dumps(training))
    recipe = replace(evaluator.settings.training, seed=seed)
    evaluator.settings = replace(evaluator.settings, training=recipe)  # the splits stay those of seed 0
    space = _space(name)
    found = evaluator.evaluate(space.freeze(sample))
    return {
        "sample": sample,
        "seed": seed,
        "metrics": found.metrics,
        "history": [{name: epoch[name] for name in ("accuracy", "avg_macs")} for epoch in found.history],
        "exit_stages": list(found.network.exit_stages),
        "exit_macs": list(found.costs.macs),
        "exit_params": list(found.costs.params),
    }


@cache
def _evaluator(training: str) -> Any:
    from nni_earlyexit import EarlyExitEvaluator

    return EarlyExitEvaluator(**json.loads(training))


@cache
def _space(name: str) -> Any:
    from nni_earlyexit import search_spaces

    return search_spaces.create(name)


def small_images(folder: Path | None, path: Path, per_class: int = 600) -> Path:
    """The first images of each class in ``folder``, made 8x8 pixels, as a data file."""
    if path.is_file():
        return path
    if folder is None or not folder.is_dir():
        raise SystemExit(f"--images: {str(folder)!r} is not a folder; that of CIFAR-10's training images is needed")
    from PIL import Image

    x, y = [], []
    for label, own in enumerate(sorted(p for p in folder.iterdir() if p.is_dir())):
        for image in sorted(own.glob("*.jpg"))[:per_class]:
            pixels = np.asarray(Image.open(image).convert("RGB").resize((8, 8), Image.Resampling.BOX))
            x.append(pixels.transpose(2, 0, 1))
            y.append(label)
    np.savez_compressed(path, x=np.array(x, np.float32) / 255, y=np.array(y))
    return path


if __name__ == "__main__":
    main()
