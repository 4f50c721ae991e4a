"""Exits for a backbone that someone has: branches are trained once, and the best network of them is found by looking up.

Networks are chosen by their validation outputs. What is picked out of many flatters itself, so the choice is looked at again on
the calibration split before cutoffs are fitted to it, and what it lost there is reported.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from nni_earlyexit import data as data_sets
from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.bank.exploration import Exploration
from nni_earlyexit.bank.front import BankFront, bank_front
from nni_earlyexit.bank.known_front import write_known_front
from nni_earlyexit.bank.trainers import explored
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.from_bank import evaluate_in_bank
from nni_earlyexit.evaluation.network_front import Member, judge
from nni_earlyexit.evaluation.same_split import check_same_data, check_same_split
from nni_earlyexit.space import latency_table
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.space.search_domain import check_limits
from nni_earlyexit.training.optimizer import check_optimizer
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.progress import Say

SILENCE_S = 20
"""Seconds after which a word on progress is due."""


@dataclass(frozen=True)
class FoundExits:
    """The outcome of :func:`find_exits`.

    Attributes
    ----------
    member
        The chosen network with cutoffs fitted to the calibration split, judged on the test split once.
    front
        The front that it was chosen from.
    promised, kept
        Accuracy and average MACs of the choice on validation data, by which it was chosen, and of the same network under the
        same cutoffs on calibration data, which had no part in it.
    stages, architectures
        The stage that each early exit follows, and what was chosen for it.
    """

    member: Member
    front: BankFront
    promised: tuple[float, float]
    kept: tuple[float, float]
    stages: tuple[int, ...]
    architectures: tuple[str, ...]


def free_jobs() -> int:
    """Branches that this machine can train at once: one per core, and one where a GPU does the work."""
    return 1 if torch.cuda.is_available() else len(os.sched_getaffinity(0))


def open_bank(space: EarlyExitSpace, settings: Settings, folder: Path, say: Say = lambda line: None) -> Bank:
    """The bank in ``folder`` for ``space`` and the data and the recipe of ``settings``."""
    recipe = settings.training
    check_optimizer(recipe.optimizer)
    check_same_split(space.identity(), settings)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    data = data_sets.load_settings(settings.data, recipe.seed, say)
    check_same_data(space.identity(), settings, data)
    return Bank(folder, space, data, recipe, say=say)


def find_exits(
    bank: Bank, settings: Settings, output: Path, *, count: int = 60, jobs: int = 1, say: Say = print
) -> FoundExits:
    """Train branches until the bank has ``count``, and write the best network of them to ``output`` as a trial does.

    Parameters
    ----------
    bank
        The bank, which may have branches already.
    settings
        The settings that the bank was opened with; their goal and limits choose the network.
    output
        Folder of the network.
    count
        Number of branches.
    jobs
        Branches that are trained at once, each in a process of its own.
    say
        Hears of the progress.
    """
    _check_free(output, bank)
    latencies = latency_table.latencies(settings.limits.latency_table, bank.space)
    check_limits(bank.space, settings.limits, latencies)
    _train(bank, settings, count, jobs, say)
    usable = [stored for stored in bank.trained() if not stored.given_up]
    start = time.monotonic()
    front = bank_front(bank, usable, settings.goal, settings.limits)
    say(
        f"{len(usable)} branches make {front.possible:,} networks: {front.valued:,} compared, cutoffs fitted for the best "
        f"{front.searched}, {len(front.points)} points on their front, in {time.monotonic() - start:.0f} s"
    )
    write_known_front(bank.folder, bank.space.identity(), front.best_of_each(bank))
    position = front.pick(settings.goal, settings.limits.max_avg_macs)
    branches = front.networks[position]
    # the very point that was picked, not the one that the goal would pick of this network's points alone
    least = max(0.0, front.points[position].accuracy - 1e-9)
    picked = replace(settings, goal=settings.goal.at(min_accuracy=least))
    sample = bank.branches.sample([own.branch for own in branches])
    result = evaluate_in_bank(bank, sample, picked, latency=None if latencies is None else latencies.seconds(sample))
    record.save(result, output, settings)
    stored = record.load(output)
    if stored is None or result.policy is None:
        raise ValueError(f"output: {str(output)!r} does not hold what was written there")
    (member,) = judge([stored])
    record.save(replace(result, policy=member.policy), output, settings)  # what was judged is what is used
    logits, labels = bank.logits(branches, "calibration"), bank.data.calibration.y.numpy()
    spent = np.array(result.policy.costs_without_dropped(*bank.costs(branches)))
    return FoundExits(
        member,
        front,
        promised=(float(result.metrics["accuracy"]), float(result.metrics["avg_macs"])),
        kept=(
            float((result.policy.predict(logits) == labels).mean()),
            float(spent[result.policy.exits(logits)].mean()),
        ),
        stages=tuple(own.branch.stage for own in branches),
        architectures=tuple(" ".join(str(value) for _, value in own.branch.choices) for own in branches),
    )


def _check_free(output: Path, bank: Bank) -> None:
    """``ValueError`` if ``output`` holds something else than an earlier result for this backbone."""
    try:
        held = record.load(output)
    except record.Damaged:
        held = None
    same = held is not None and held.space == bank.space.identity()
    if (output / record.SUMMARY).exists() and not same:
        raise ValueError(f"output: {str(output)!r} holds another network; choose another folder")


def _train(bank: Bank, settings: Settings, count: int, jobs: int, say: Say) -> None:
    """Train branches until the bank has ``count``."""
    exploration = Exploration(bank, count, seed=settings.training.seed)
    total, start, last = exploration.left, time.monotonic(), time.monotonic()
    if not total:
        say(f"{bank.folder}: its {len(bank.trained())} branches were trained before")
        return
    say(f"trains {total} branches, {bank.passes} passes each, {jobs} at once")
    for done, _ in enumerate(explored(bank, exploration, settings.data, jobs, say), start=1):
        if time.monotonic() - last > SILENCE_S or done == total:
            last = time.monotonic()
            say(f"{done} of {total} branches in {last - start:.0f} s; {_best(bank)}")


def _best(bank: Bank) -> str:
    """The best branch after each stage, and the number of those that were given up, in words."""
    trained = bank.trained()
    best = [
        f"stage {stage} {max(own):.1%}"
        for stage in bank.branches.stages
        if (own := [stored.accuracy for stored in trained if stored.branch.stage == stage])
    ]
    return f"best of {', '.join(best)}; {sum(stored.given_up for stored in trained)} given up"
