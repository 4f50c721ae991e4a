"""What many tests share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nni_earlyexit import search_spaces


@pytest.fixture(scope="session")
def digits_space():
    return search_spaces.create("digits")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def two_exits(digits_space):
    """A small sample of the digits space with exits after the first and the last stage."""
    sample, _ = digits_space.cheapest(exit=-1)
    return {**sample, "exit0_present": "yes", "exit0_depth": 1}


@pytest.fixture
def network(digits_space, two_exits):
    torch.manual_seed(0)
    return digits_space.freeze(two_exits)
