"""Exits for a trained backbone: a bank of branches beside classifiers at searched places, a training per network, and earlyon.

    python benchmarks/bank.py BACKBONE_FOLDER --bank BANK --data folder:PATH --max-drop 1% --epochs 6 --branches 300

What the bank has is not trained again; seconds of branches are those that were measured when they were trained. earlyon 0.3.0
is compared where it can be imported (pip install --no-deps earlyon==0.3.0; it needs click and fvcore).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.bank.exploration import Exploration
from nni_earlyexit.bank.front import bank_front
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.bank.trainers import explored
from nni_earlyexit.data import batches
from nni_earlyexit.evaluation.exit_search import free_jobs, open_bank
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.training.fit import fit
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.options import add_options, options
from nni_earlyexit.utils.progress import say
from nni_earlyexit.utils.tables import aligned
from numpy.typing import NDArray
from torch import Tensor, nn

RESAMPLES = 1000


class Ways:
    """Ways to answer the test inputs: the class that each policy gives and its cost, (policies, inputs) each.

    ``chosen`` is the position of the policy that the goal picked on calibration data.
    """

    def __init__(self, right: NDArray[np.bool_], cost: NDArray[np.floating], chosen: int) -> None:
        self.right, self.cost, self.chosen = right, cost, chosen

    def of_goal(self) -> tuple[float, float]:
        """Test accuracy and average MACs of the chosen policy."""
        return float(self.right[self.chosen].mean()), float(self.cost[self.chosen].mean())

    def cost_at(self, accuracy: float, inputs: NDArray[np.intp]) -> float:
        """The least average MACs of a policy with this accuracy on some of the test inputs; infinite if none has it."""
        enough = self.right[:, inputs].mean(axis=1) >= accuracy
        return float(np.where(enough, self.cost[:, inputs].mean(axis=1), np.inf).min())


def network_ways(bank: Bank, branches: Sequence[StoredBranch], settings: Settings, test: NDArray[np.float32]) -> Ways:
    """The policies along the front of a network of the bank, fitted to calibration data; ``test`` are its test logits."""
    costs, own = bank.costs(branches)
    optimizer = settings.goal.optimizer()
    optimizer.fit_closest(
        bank.logits(branches, "calibration"), bank.data.calibration.y.numpy(), costs, branch_costs=own
    )
    points = [*optimizer.front_.thinned(100), optimizer.chosen_]
    labels = bank.data.test.y.numpy()
    right, cost = [], []
    for point in points:
        policy = optimizer.policy_of(point)
        exits = policy.exits(test)
        right.append(test.argmax(axis=-1)[np.arange(len(test)), exits] == labels)
        cost.append(np.array(policy.costs_without_dropped(costs, own))[exits])
    return Ways(np.array(right), np.array(cost), len(points) - 1)


def ratio(ours: Ways, theirs: Ways) -> str:
    """Our average MACs over theirs at the test accuracy of their chosen policy, with a bootstrapped 95% interval.

    Of each side it is the cheapest of its policies with that test accuracy, for this comparison alone.
    """
    rng = np.random.default_rng(0)
    count = ours.right.shape[1]
    everything = np.arange(count)

    def drawn(inputs: NDArray[np.intp]) -> float:
        accuracy = float(theirs.right[theirs.chosen, inputs].mean())
        return ours.cost_at(accuracy, inputs) / theirs.cost_at(accuracy, inputs)

    ratios = [drawn(rng.integers(0, count, count)) for _ in range(RESAMPLES)]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return f"{drawn(everything):.3f} ({low:.3f} to {high:.3f})"


def test_logits(bank: Bank, branches: Sequence[StoredBranch]) -> NDArray[np.float32]:
    """Logits of the assembled network on the test split, which decides nothing."""
    return exit_logits(bank.network(branches), bank.data.test.parts())


class Plain(nn.Module):
    """The backbone as a model that gives logits, as earlyon wants it."""

    def __init__(self, bank: Bank) -> None:
        super().__init__()
        network = bank.network([])
        self.stem, self.stages = network.stem, network.stages
        self.head = network.exits[str(network.exit_stages[-1])]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.head(x)
        return logits


def earlyon_way(bank: Bank, drop: float, epochs: int) -> tuple[Ways, float]:
    """What earlyon makes of the backbone with its usual settings, and the seconds that it takes."""
    from earlyon.core.thresholds import calibrate_thresholds, collect_head_logits
    from earlyon.models.custom import custom_ee
    from earlyon.training.two_stage_trainer import stage2_train_exits

    start = time.perf_counter()
    torch.manual_seed(0)
    stages = bank.branches.stages
    names = [f"stages.{stage}" for stage in stages]
    model = custom_ee(Plain(bank), names, bank.data.num_classes, input_shape=(1, *bank.space.input_shape))
    loaders = {
        part: batches(getattr(bank.data, part), 128, shuffle=part == "train")
        for part in ("train", "calibration", "test")
    }
    stage2_train_exits(model, loaders["train"], epochs=epochs, on_epoch_end=lambda log: say(f"earlyon {log}"))
    model.eval()
    calibrate_thresholds(model, loaders["calibration"], target_accuracy_drop=drop)
    seconds = time.perf_counter() - start
    cache = collect_head_logits(model, loaders["test"], "cpu")
    logits = np.stack([own.numpy() for own in cache.logits], axis=1)
    labels = bank.data.test.y.numpy()
    probability = torch.from_numpy(logits).softmax(dim=-1).amax(dim=-1).numpy()
    enabled, cutoffs = list(model.config.enabled_exits), list(model.config.confidence_thresholds)
    leaves = np.full(len(labels), len(stages))
    paid = [
        point.in_channels * 128 + 128 * bank.data.num_classes if on else 0
        for point, on in zip(model.config.exit_points, enabled, strict=True)
    ]
    for exit in reversed(range(len(stages))):
        if enabled[exit]:
            leaves = np.where(probability[:, exit] >= cutoffs[exit], exit, leaves)
    until = [*(bank.backbone_macs[stage] for stage in stages), bank.backbone_macs[-1]]
    costs = np.array(until) + np.cumsum([*paid, 0])
    right = logits.argmax(axis=-1)[np.arange(len(labels)), leaves] == labels
    return Ways(right[None], costs[leaves][None].astype(float), 0), seconds


def training_per_network(bank: Bank, settings: Settings) -> float:
    """Seconds that one epoch of a random network takes, its backbone run for every batch."""
    network = bank.space.freeze(bank.space.sample(np.random.default_rng(0)))
    recipe = Settings.from_options(recipe="branches", epochs=1).training
    start = time.perf_counter()
    fit(network, bank.data, recipe, lambda epochs, trained: True)
    return time.perf_counter() - start


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone", type=Path, help="folder of a trained network")
    parser.add_argument("--branches", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=free_jobs())
    parser.add_argument("--earlyon-epochs", type=int, default=4, help="epochs of earlyon's heads, 3 to 4 in its README")
    add_options(parser, Settings)
    given = parser.parse_args()
    settings = Settings.from_options(**{o.name: getattr(given, o.name) for o in options(Settings)})
    space = search_spaces.create("trained", folder=str(given.backbone))
    settings = settings.with_whole_paths().for_network(space.input_shape)
    bank = open_bank(space, settings, Path(str(settings.training.bank)), say)

    start = time.perf_counter()
    for stage in bank.branches.stages:
        bank.stage_outputs(stage)
    outputs = time.perf_counter() - start
    start = time.perf_counter()
    exploration = Exploration(bank, given.branches, seed=settings.training.seed)
    new = exploration.left
    for stored in explored(bank, exploration, settings.data, given.jobs):
        say(f"{stored.branch.name} {stored.macs:,} {stored.accuracy:.4f} {stored.seconds:.1f} s {stored.given_up}")
    training = time.perf_counter() - start
    trained = bank.trained()
    say(
        f"outputs of the stages: {outputs:.0f} s; {new} branches trained in {training:.0f} s, {given.jobs} at once; "
        f"{len(trained)} in the bank, {sum(own.given_up for own in trained)} given up, "
        f"{sum(own.seconds for own in trained):.0f} s of their processes"
    )
    usable = [own for own in trained if not own.given_up]
    classifiers = [own for own in usable if len(own.branch.choices) == 2]  # depth 0, and a head
    ways: dict[str, Ways] = {}
    rows = []
    for name, members in (("searched branches", usable), ("classifiers at searched places", classifiers)):
        start = time.perf_counter()
        front = bank_front(bank, members, settings.goal)
        chosen = front.networks[front.pick(settings.goal)]
        seconds = time.perf_counter() - start
        say(
            f"{name}: {front.possible:,} networks possible, {front.valued:,} valued and {front.searched} searched in "
            f"{seconds:.1f} s; exits {[(own.branch.stage, *(v for _, v in own.branch.choices)) for own in chosen]}"
        )
        ways[name] = network_ways(bank, chosen, settings, test_logits(bank, chosen))
        rows.append([name, f"{outputs + sum(own.seconds for own in members) / given.jobs + seconds:.0f}"])
    try:
        ways["earlyon"], seconds = earlyon_way(bank, settings.goal.max_drop or 0.01, given.earlyon_epochs)
        rows.append(["earlyon", f"{seconds:.0f}"])
    except ImportError as error:
        say(f"earlyon is not compared: {error}")
    full = bank.backbone_macs[-1]
    last = test_logits(bank, [])
    say(
        f"the backbone alone: {(last[:, 0].argmax(axis=-1) == bank.data.test.y.numpy()).mean():.2%} at {format_macs(full)}"
    )
    for row in rows:
        accuracy, cost = ways[row[0]].of_goal()
        row += [
            f"{accuracy:.2%}",
            format_macs(cost),
            f"{cost / full:.1%}",
            ratio(ways["searched branches"], ways[row[0]]),
        ]
    heads = ["exits", "seconds", "test accuracy", "average MACs", "of the backbone", "ours / theirs at equal accuracy"]
    print(aligned(heads, rows))
    each = training_per_network(bank, settings)
    print(
        f"a training per network: {each:.0f} s an epoch, {each * settings.training.epochs:.0f} s a network; from the bank "
        f"{(outputs + training) / max(1, new):.1f} s a branch"
    )


if __name__ == "__main__":
    main()
