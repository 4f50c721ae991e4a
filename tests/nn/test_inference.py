"""Running a network without training it."""

from __future__ import annotations

import torch
from nni_earlyexit.nn.inference import probing
from torch import nn


def test_a_probe_takes_one_thread_and_leaves_all_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    network = nn.Linear(2, 2).train()
    try:
        with probing(network):
            assert torch.get_num_threads() == 1
            assert not network.training
            assert not torch.is_grad_enabled()
        assert torch.get_num_threads() == 2
        assert network.training
        assert torch.is_grad_enabled()
    finally:
        torch.set_num_threads(before)
