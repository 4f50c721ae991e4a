"""Processes that train branches for a bank, as many at once as there are cores for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_end
from pathlib import Path

import torch
from nni_earlyexit import data as data_sets
from nni_earlyexit import search_spaces
from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.bank.branch import Branch
from nni_earlyexit.bank.exploration import Exploration, hopeless
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.utils.errors import sentence
from nni_earlyexit.utils.progress import Say

_bank: list[Bank] = []
"""The bank of this process, if it trains for another one."""


def train(bank: Bank, branch: Branch) -> StoredBranch:
    """Train ``branch``, and give it up when it is hopeless beside those that the bank has by then."""

    def goes_on(macs: int, passes: int, accuracy: float) -> bool:
        others = [other for other in bank.trained(branch.stage) if other.branch != branch]
        return not hopeless(macs, passes, accuracy, bank.passes, others)

    return bank.train(branch, goes_on)


def explored(
    bank: Bank, exploration: Exploration, settings: DataSettings, jobs: int, say: Say = lambda line: None
) -> Iterator[StoredBranch]:
    """Train what ``exploration`` asks for, so many branches at once; each branch as it is finished.

    ``settings`` are those of the bank's data, which the processes load for themselves. A branch whose training diverges is said
    and left out.

    Raises ``ValueError`` when a process ends, as it does where the memory is too small for all of them.
    """
    if jobs <= 1:
        while (branch := exploration.ask()) is not None:
            try:
                stored = train(bank, branch)
            except FloatingPointError as error:
                _left_out(exploration, branch, error, say)
                continue
            exploration.tell(stored)
            yield stored
        return
    for stage in bank.branches.stages:  # by this process, with all threads
        bank.stage_outputs(stage)
    pool = ProcessPoolExecutor(
        jobs,
        multiprocessing.get_context("spawn"),
        _open,
        (
            bank.folder,
            bank.space.identity(),
            search_spaces.allowed(),
            settings,
            bank.asked,
            max(1, torch.get_num_threads() // jobs),
        ),
    )
    running: dict[Future[str], Branch] = {}
    try:
        while True:
            while len(running) < jobs and (branch := exploration.ask()) is not None:
                running[pool.submit(_train, branch)] = branch
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                branch = running.pop(future)
                try:
                    future.result()
                except FloatingPointError as error:
                    _left_out(exploration, branch, error, say)
                    continue
                except BrokenProcessPool:
                    raise ValueError(
                        f"jobs: {jobs} is not possible here: a process that trained a branch ended, perhaps for lack of "
                        "memory; fewer jobs or a smaller batch_size are"
                    ) from None
                if (finished := bank.get(branch)) is not None:
                    exploration.tell(finished)
                    yield finished
    finally:
        # one that waits holds a lock that others need for their end; nothing is lost, for files are whole or not there
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(cancel_futures=True)


def _left_out(exploration: Exploration, branch: Branch, error: Exception, say: Say) -> None:
    exploration.tell_failed(branch)
    say(f"left out {branch.name}: {sentence(error)}")


def _open(
    folder: Path, space: str, allowed: Sequence[str], settings: DataSettings, recipe: Recipe, threads: int
) -> None:
    """Prepare a process to train for the bank in ``folder``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process; the first one ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    for name in allowed:
        search_spaces.allow(name)
    data = data_sets.load_settings(settings, recipe.seed)
    _bank[:] = [Bank(folder, search_spaces.create(space), data, recipe)]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)


def _train(branch: Branch) -> str:
    return train(_bank[0], branch).branch.name
