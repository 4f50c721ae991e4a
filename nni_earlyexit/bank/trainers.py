"""Processes that train branches for a bank, as many at once as there are cores for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
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

_bank: list[Bank] = []
"""The bank of this process, if it trains for another one."""


def train(bank: Bank, branch: Branch) -> StoredBranch:
    """Train ``branch``, and give it up when it is hopeless beside those that the bank has by then."""
    macs: list[int] = []

    def goes_on(passes: int, accuracy: float) -> bool:
        others = [other for other in bank.trained(branch.stage) if other.branch != branch]
        if not macs:
            macs.append(bank.macs(branch))
        return not hopeless(macs[0], passes, accuracy, bank.passes, others)

    return bank.train(branch, goes_on)


def explored(bank: Bank, exploration: Exploration, settings: DataSettings, jobs: int) -> Iterator[StoredBranch]:
    """Train what ``exploration`` asks for, with so many ``jobs``; each branch as it is finished.

    ``settings`` are those of the bank's data, which the processes load for themselves.
    """
    if jobs <= 1:
        while (branch := exploration.ask()) is not None:
            stored = train(bank, branch)
            exploration.tell(stored)
            yield stored
        return
    for stage in bank.branches.stages:  # by this process, with all threads
        bank.stage_outputs(stage)
    identity = bank.space.identity()
    pool = ProcessPoolExecutor(
        jobs,
        multiprocessing.get_context("spawn"),
        _open,
        (bank.folder, identity, settings, bank.recipe, max(1, torch.get_num_threads() // jobs)),
    )
    running: set[Future[str]] = set()
    asked: dict[Future[str], Branch] = {}
    try:
        while True:
            while len(running) < jobs and (branch := exploration.ask()) is not None:
                future = pool.submit(_train, branch)
                running.add(future)
                asked[future] = branch
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                if (finished := bank.get(asked.pop(future))) is not None:
                    exploration.tell(finished)
                    yield finished
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _open(folder: Path, space: str, settings: DataSettings, recipe: Recipe, threads: int) -> None:
    """Prepare a process to train for the bank in ``folder``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process; the first one ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    data = data_sets.load_settings(settings, recipe.seed)
    _bank[:] = [Bank(folder, search_spaces.create(space), data, recipe)]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)


def _train(branch: Branch) -> str:
    return train(_bank[0], branch).branch.name
