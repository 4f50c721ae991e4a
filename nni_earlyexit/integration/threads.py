"""The CPU threads of a trial: what the machine has, shared among the trials that run at once."""

from __future__ import annotations

import os

import torch
from nni_earlyexit.integration import rest

PATIENCE_S = 10
"""Seconds to ask the manager for; a trial can do without its answer."""


def share_threads(threads: int | None) -> None:
    """Let torch use so many ``threads``; by default, in a trial, the cores divided by the experiment's ``trialConcurrency``.

    More threads than cores, of trials side by side, wait for each other longer than they compute.
    """
    if threads is None and "NNI_TRIAL_COMMAND_CHANNEL" in os.environ:
        threads = threads_each(_concurrency())
    if threads is not None:
        torch.set_num_threads(threads)


def threads_each(trials: int) -> int:
    """Threads for each of so many trials, at least one."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, trials))


def _concurrency() -> int:
    """The number of trials that run at once, as NNI's manager says; as many as there are cores if it does not answer."""
    manager = rest.address(os.environ["NNI_TRIAL_COMMAND_CHANNEL"])
    try:
        return int(rest.get(manager, "experiment", PATIENCE_S)["params"]["trialConcurrency"])
    except (OSError, ValueError, LookupError, TypeError):
        return len(os.sched_getaffinity(0))
