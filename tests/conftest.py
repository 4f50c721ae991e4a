"""What many tests share, and how they are divided among the processes of ``pytest -n``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:
    # one of several processes that share the cores; read when numpy and torch are imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.experiment.manager import Manager
from support import Running, free_port, write_config

EVERYWHERE = ("home_of_nnictl", "start")
"""Module-scoped fixtures that each process may make again at no cost."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put tests that share something expensive into one process of ``pytest -n``, and the longest tests first."""
    for item in items:
        if (group := _group(item)) is not None and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(group))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("nni") is None)


def _group(item: pytest.Item) -> str | None:
    """The file, with the parameters of what its tests share; nothing for a test that has an experiment of its own."""
    fixtures = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 # which pytest keeps to itself
    shared = [name for name, found in fixtures.items() if found[-1].scope == "module" and name not in EVERYWHERE]
    if not shared and item.get_closest_marker("nni"):
        return None
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    words = [item.path.parent.name, item.path.stem, *(str(parameters[name]) for name in shared if name in parameters)]
    return re.sub(r"[^\w.]+", "-", ":".join(words))  # pytest-xdist looks for the last @ and ]


@pytest.fixture(scope="module", autouse=True)
def home_of_nnictl(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home of their own for tests that start experiments: nnictl keeps its list of all experiments there."""
    if request.node.get_closest_marker("nni") is None:
        yield
        return
    import matplotlib

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())  # making its list of fonts takes seconds
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


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
def start(home_of_nnictl: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
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
