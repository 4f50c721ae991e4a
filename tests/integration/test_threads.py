from __future__ import annotations

import os

import pytest
import torch
from nni_earlyexit.integration import rest
from nni_earlyexit.integration.threads import share_threads, threads_each


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_trials_share_the_cores():
    cores = len(os.sched_getaffinity(0))
    assert threads_each(1) == cores
    assert threads_each(cores) == threads_each(100 * cores) == 1


def test_a_trial_asks_the_manager_how_many_run_at_once(monkeypatch):
    monkeypatch.setenv("NNI_TRIAL_COMMAND_CHANNEL", "ws://localhost:1/env/local-env")
    monkeypatch.setattr(rest, "get", lambda address, path, patience_s: {"params": {"trialConcurrency": 1}})
    share_threads(None)
    assert torch.get_num_threads() == threads_each(1)
    share_threads(1)
    assert torch.get_num_threads() == 1


def test_one_that_cannot_ask_takes_one_thread(monkeypatch):
    monkeypatch.setenv("NNI_TRIAL_COMMAND_CHANNEL", "ws://localhost:1/env/local-env")

    def refuse(address, path, patience_s):
        raise rest.NoAnswer("gone")

    monkeypatch.setattr(rest, "get", refuse)
    share_threads(None)
    assert torch.get_num_threads() == 1


def test_outside_of_a_trial_torch_decides(monkeypatch):
    monkeypatch.delenv("NNI_TRIAL_COMMAND_CHANNEL", raising=False)
    before = torch.get_num_threads()
    share_threads(None)
    assert torch.get_num_threads() == before
