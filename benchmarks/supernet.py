"""What a supernet says of networks, and how fast.

    python benchmarks/supernet.py size       SPACE    weights of the supernet and of its largest network
    python benchmarks/supernet.py statistics SPACE --supernet FILE --data folder:PATH    accuracy by inputs for statistics
    python benchmarks/supernet.py taught     SPACE --data folder:PATH --networks 8    from labels, the largest, or both
    python benchmarks/supernet.py rank       SPACE --supernet FILE --data folder:PATH --networks 24 --options "--epochs 8"

``rank`` trains networks from scratch and compares: Kendall's tau between their accuracy and the inherited one, over all, within
bands of MACs, and of MACs alone. ``--options`` are those of a trial. Each training is a line in the file --results, and is not
done again when it is there; samples/mobilenetv3_alone.jsonl has those of docs/results.md, done on a GPU.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept_lines import kept
from nni_earlyexit import data as data_sets
from nni_earlyexit import search_spaces
from nni_earlyexit.data.splits import Data
from nni_earlyexit.evaluation.evaluation import Train, evaluate
from nni_earlyexit.evaluation.from_supernet import taking_weights
from nni_earlyexit.integration import trial_arguments
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.supernet import sandwich
from nni_earlyexit.supernet.inheritance import take_weights
from nni_earlyexit.supernet.learning import accuracies, train_supernet
from nni_earlyexit.supernet.supernet import Supernet
from nni_earlyexit.training.fit import fit
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.progress import say
from nni_earlyexit.utils.tables import aligned
from pymoo.indicators.hv import HV
from scipy.stats import kendalltau

BANDS = 4
"""Bands of MACs, each with as many networks."""


def drawn(space: EarlyExitSpace, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Networks whose MACs lie evenly over the range of random ones, between its ends."""
    rng = np.random.default_rng(seed)
    pool = [space.sample(rng) for _ in range(60 * count)]
    macs = np.array([space.exit_costs(sample)[-1] for sample in pool])
    wanted = np.linspace(*np.quantile(macs, [0.01, 0.99]), count)
    return [pool[int(np.abs(macs - own).argmin())] for own in wanted]


def measured(
    space: EarlyExitSpace, sample: Mapping[str, Any], data: Data, settings: Settings, train: Train
) -> dict[str, Any]:
    """Validation accuracy of each exit and the area under the trade-off of one network."""
    torch.manual_seed(settings.training.seed)
    result = evaluate(space.freeze(sample), data, settings, train=train)
    front = result.metrics["front"]
    full = space.exit_costs(sample)[-1]
    losses = [[1 - a, c / full] for a, c in zip(front["accuracy"], front["avg_macs"], strict=True)]
    assert result.validation is not None
    exits = (result.validation.logits.argmax(axis=-1) == result.validation.labels[:, None]).mean(axis=0)
    return {
        "exits": exits.tolist(),
        "hypervolume": float(HV(np.array([1.0, 1.0]))(np.array(losses))),
        "macs": full,
        "seconds": result.metrics["train_seconds"],
    }


def rank(supernet: Supernet, data: Data, arguments: argparse.Namespace) -> None:
    """Print how the inherited accuracies order networks beside those of networks that are trained from scratch."""
    space = supernet.space
    alone = trial_arguments.parse(shlex.split(arguments.options)).settings
    rows = []
    for number, sample in enumerate(drawn(space, arguments.networks)):
        key = [space.identity(), arguments.options, number]
        stored = kept(arguments.results, key, lambda sample=sample: measured(space, sample, data, alone, fit))
        rows.append((measured(space, sample, data, alone, taking_weights(supernet)), stored))
    macs = np.array([own["macs"] for _, own in rows])
    bands = np.array_split(np.argsort(macs, kind="stable"), BANDS)
    table = []
    for name, value in (
        ("last exit", lambda own: own["exits"][-1]),
        ("mean of the exits", lambda own: statistics.mean(own["exits"])),
        ("hypervolume", lambda own: own["hypervolume"]),
    ):
        ours, theirs = (np.array([value(pair[place]) for pair in rows]) for place in (0, 1))
        cells = [kendalltau(ours, theirs).statistic, kendalltau(macs, theirs).statistic]
        within = [[kendalltau(own[band], theirs[band]).statistic for band in bands] for own in (ours, macs)]
        table.append([name, *(f"{cell:.2f}" for cell in (*cells, np.nanmean(within[0]), np.nanmean(within[1])))])
    say(
        f"{len(rows)} networks of {space.identity()}, {min(macs):,} to {max(macs):,} MACs, trained with {arguments.options}"
    )
    print(aligned(["accuracy", "tau", "tau of MACs", f"tau within {BANDS} bands", "of MACs there"], table))


def estimates(supernet: Supernet, data: Data, arguments: argparse.Namespace) -> None:
    """Print the accuracy of inherited networks by the number of inputs that their statistics are estimated on."""
    samples: Sequence[Mapping[str, Any]] = drawn(supernet.space, arguments.networks, seed=2)
    rows = []
    for inputs in (128, 256, 512, 1024, 2048, 4096):
        start = time.perf_counter()
        own = []
        for sample in samples:
            network = supernet.space.freeze(sample)
            take_weights(network, supernet.network, data, inputs)
            own.append(accuracies(network, data)[-1])
        rows.append([f"{inputs:,}", f"{statistics.mean(own):.2%}", f"{(time.perf_counter() - start) / len(own):.2f}"])
    print(aligned(["inputs", "mean accuracy of the last exit", "seconds each, accuracy too"], rows))


def taught(space: EarlyExitSpace, data: Data, arguments: argparse.Namespace) -> None:
    """Print what short trainings give, on every fourth input, with more or less of the largest network's answers."""
    part = data.train.part(slice(None, None, 4))
    rows = []
    for share in arguments.shares:

        def make(share: float = share) -> dict[str, Any]:
            sandwich.TAUGHT = share
            torch.manual_seed(0)
            supernet = Supernet(space)
            train_supernet(supernet, replace(data, train=part), Recipe(recipe="fast", epochs=3, averaging=0.99), say)
            rng = np.random.default_rng(5)
            ends: dict[str, list[Mapping[str, Any]]] = {
                "random": [space.sample(rng) for _ in range(arguments.networks)],
                "smallest": [supernet.smallest],
                "largest": [supernet.largest],
            }
            means = {}
            for name, samples in ends.items():
                own = []
                for sample in samples:
                    network = space.freeze(sample)
                    take_weights(network, supernet.network, data)
                    own.append(accuracies(network, data)[-1])
                means[name] = statistics.mean(own)
            return means

        own = kept(arguments.results, [space.identity(), "taught", arguments.networks, share], make)
        rows.append([f"{share:.0%}", *(f"{own[name]:.2%}" for name in ("random", "smallest", "largest"))])
    print(aligned(["taught by the largest", f"{arguments.networks} random networks", "smallest", "largest"], rows))


def size(space: EarlyExitSpace) -> None:
    """Print the number of weights of the supernet and of its largest network."""
    supernet = Supernet(space)
    networks = (supernet.network, space.freeze(supernet.largest))
    shared, largest = (sum(parameter.numel() for parameter in network.parameters()) for network in networks)
    print(f"{space.identity()}: {shared:,} weights, its largest network {largest:,}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("size", "statistics", "taught", "rank"))
    parser.add_argument("space", nargs="+")
    parser.add_argument("--supernet", type=Path, help="file of the supernet")
    parser.add_argument("--data", help="its data")
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--options", default="--recipe fast --epochs 8", help="options of the trainings from scratch")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.5, 1.0], help="shares that are taught")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--results", type=Path, default=Path("rank.jsonl"))
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    space = search_spaces.create(" ".join(arguments.space))
    if arguments.part == "size":
        size(space)
        return
    if arguments.data is None or (arguments.supernet is None and arguments.part != "taught"):
        parser.error("--supernet and --data are needed")
    data = data_sets.load(arguments.data, 0, tuple(space.input_shape))
    if arguments.part == "taught":
        taught(space, data, arguments)
        return
    supernet, _ = Supernet.load(arguments.supernet, space)
    {"statistics": estimates, "rank": rank}[arguments.part](supernet, data, arguments)


if __name__ == "__main__":
    main()
