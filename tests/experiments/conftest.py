"""Experiments that tests start and that are stopped after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nni_earlyexit.manager import Manager
from support import Running, free_port, write_config


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
