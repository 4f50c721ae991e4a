"""What many tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.experiment.manager import Manager
from support import Running, free_port, write_config


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


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """Start the digits example with changes to its experiment file; stopped after the module's tests."""
    started: list[Running] = []

    def run(**changes: Any) -> Running:
        folder = tmp_path_factory.mktemp("experiment")
        manager = Manager.start(write_config(folder, **changes), free_port())
        started.append(Running(manager, folder / "nni" / manager.id))
        return started[-1]

    yield run
    for running in started:
        running.manager.stop()
