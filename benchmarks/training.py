"""Training on real images: recipes, ways of training exits, and the cost of the input pipeline.

    python benchmarks/training.py speed   --data folder:PATH    images a second, with everything and of the step alone
    python benchmarks/training.py recipes --data folder:PATH    fast against plain, the same epochs
    python benchmarks/training.py exits   --data folder:PATH    weights, distillation, equilibrium, regimes
    python benchmarks/training.py kernels --space "mobilenetv3 halvings=5"    a step without what only meets padding

Each training is a line in the file --results, and is not done again when it is there, so that a run can be interrupted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from kept_lines import kept
from nni_earlyexit import data as data_sets
from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation.one_network import choose_sample
from nni_earlyexit.nn.layout import in_channels_last
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.training.augmentation import Augmentation
from nni_earlyexit.training.cropped_kernels import cropped_kernels
from nni_earlyexit.training.fit import class_counts, fit
from nni_earlyexit.training.joint_loss import JointLoss
from nni_earlyexit.training.optimizer import create_optimizer
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.utils.progress import say
from nni_earlyexit.utils.tables import aligned

RECIPES: Mapping[str, Mapping[str, Any]] = {"plain": {"recipe": "plain"}, "fast": {"recipe": "fast"}}
EXITS: Mapping[str, Mapping[str, Any]] = {
    "constant weights": {},
    "linear weights": {"exit_weights": "linear"},
    "weights as cost": {"exit_weights": "cost"},
    "distillation 0.3": {"distillation": 0.3},
    "gradient equilibrium": {"gradient_equilibrium": True},
    "mixed": {"regime": "mixed"},
    "frozen": {"regime": "frozen"},
}


def trainings(arguments: argparse.Namespace, variants: Mapping[str, Mapping[str, Any]]) -> None:
    """Train the same network in every way with every seed, and print the validation accuracy of each exit."""
    space = search_spaces.create(arguments.space)
    sample = choose_sample(space, arguments.sample, 0)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for seed in range(arguments.seeds):
        for name, options in variants.items():
            key = [arguments.space, arguments.sample, arguments.epochs, name, seed]
            recipe = Recipe(**{"recipe": "fast", **options}, epochs=arguments.epochs, seed=seed)
            result = kept(arguments.results, key, lambda recipe=recipe: trained(space, sample, arguments.data, recipe))
            results[name].append(result)
    print(
        f"\n{arguments.space}, {arguments.sample}, {arguments.epochs} epochs, {arguments.seeds} seeds: {space.describe(sample)}"
    )
    exits = len(results[next(iter(results))][0]["test"])
    rows = [
        [
            name,
            *(mean_and_deviation([run["test"][exit] for run in runs]) for exit in range(exits)),
            mean_and_deviation([statistics.mean(run["test"]) for run in runs]),
            f"{statistics.mean(run['seconds'] for run in runs):,.0f}",
        ]
        for name, runs in results.items()
    ]
    print(aligned(["way", *(f"exit {exit}" for exit in range(exits)), "mean", "seconds"], rows))


def mean_and_deviation(values: list[float]) -> str:
    """Mean and standard deviation in percent; of one value, itself."""
    mean = f"{statistics.mean(values) * 100:.2f}"
    return f"{mean} +- {statistics.stdev(values) * 100:.2f}" if len(values) > 1 else mean


def trained(space: Any, sample: Mapping[str, Any], source: str, recipe: Recipe) -> dict[str, Any]:
    """The test accuracy of each exit after a training, and its seconds; nothing is decided by it."""
    task = data_sets.load(source, 0, tuple(space.input_shape))
    torch.manual_seed(recipe.seed)
    network = space.freeze(sample)
    start = time.perf_counter()
    fit(network, task, recipe, lambda epochs, net: True, say=say)
    seconds = time.perf_counter() - start
    accuracies = {
        part: (exit_logits(network, split.parts()).argmax(axis=-1) == split.y.numpy()[:, None]).mean(axis=0).tolist()
        for part, split in (("validation", task.validation), ("test", task.test))
    }
    return {**accuracies, "seconds": seconds}


def speed(arguments: argparse.Namespace) -> None:
    """Print how much of the speed of a step on a fixed batch is left with reading and augmentation."""
    space = search_spaces.create(arguments.space)
    task = data_sets.load(arguments.data, 0, tuple(space.input_shape))
    rows = []
    for name in ("plain", "fast", "standard", "strong"):
        recipe = Recipe(recipe=name, precision="float32").filled(task.input_shape)
        network = in_channels_last(space.freeze(choose_sample(space, arguments.sample, 0)))
        module = JointLoss(recipe, class_counts(task))
        module.set_model(network)
        optimizer = create_optimizer(recipe, network)
        augmentation = Augmentation(recipe, len(task.train))
        loader = data_sets.batches(task.train, recipe.batch_size or 1, shuffle=True, augment=augmentation)
        batches = iter(loader)
        fixed = next(batches)

        def step(batch: Any, module: JointLoss = module, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad()
            module.training_step(batch, 0).backward()
            optimizer.step()

        alone, whole = [], []
        step(fixed)
        for _ in range(arguments.steps):  # by turns, so that both meet the same machine
            start = time.perf_counter()
            step(fixed)
            middle = time.perf_counter()
            step(next(batches))
            alone.append(middle - start)
            whole.append(time.perf_counter() - middle)
        size, a, w = len(fixed[1]), statistics.median(alone), statistics.median(whole)
        rows.append([name, f"{size / a:,.0f}", f"{size / w:,.0f}", f"{a / w:.3f}"])
        say(" ".join(rows[-1]))
    print(aligned(["recipe", "step alone (images/s)", "with everything (images/s)", "ratio"], rows))


def kernels(arguments: argparse.Namespace) -> None:
    """Print how long a step takes with whole kernels and without the weights that only meet padding."""
    space = search_spaces.create(arguments.space)
    rows = []
    for sample in ("smallest", "random", "largest"):
        network = in_channels_last(space.freeze(choose_sample(space, sample, 0))).train()
        x = torch.randn(128, *space.input_shape).to(memory_format=torch.channels_last)
        y = torch.randint(0, space.num_classes, (128,))

        def step(network: torch.nn.Module = network, x: torch.Tensor = x, y: torch.Tensor = y) -> float:
            start = time.perf_counter()
            network.zero_grad()
            sum(torch.nn.functional.cross_entropy(logits, y) for logits in network(x)).backward()
            return time.perf_counter() - start

        whole, cropped = [], []
        for _ in range(arguments.steps + 1):  # by turns, so that both meet the same machine
            whole.append(step())
            with cropped_kernels(network):
                cropped.append(step())
        a, b = statistics.median(whole[1:]), statistics.median(cropped[1:])
        rows.append([sample, f"{a:.3f}", f"{b:.3f}", f"{a / b:.2f}"])
        say(" ".join(rows[-1]))
    print(aligned([arguments.space, "whole kernels (s)", "cropped (s)", "times as fast"], rows))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("speed", "recipes", "exits", "kernels"))
    parser.add_argument("--data", help="data set, such as cifar10 or folder:PATH")
    parser.add_argument("--space", default="resnet channels=16")
    parser.add_argument("--sample", default="largest")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--results", type=Path, default=Path("training.jsonl"))
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.part == "kernels":
        kernels(arguments)
    elif arguments.data is None:
        parser.error("--data is missing; cifar10 or folder:PATH are examples")
    elif arguments.part == "speed":
        speed(arguments)
    else:
        trainings(arguments, RECIPES if arguments.part == "recipes" else EXITS)


if __name__ == "__main__":
    main()
