"""What many tests share, and how they are divided among the processes of ``pytest -n``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

# Threads that wait for each other on cores that are busy take a hundred times as long for the small networks of the tests.
# Read when numpy and torch are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.cli.main import main
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.nn.inference import example
from nni_earlyexit.profiling.latency import Conditions, machine
from nni_earlyexit.profiling.units import take_apart, units
from nni_earlyexit.space.latency_table import LatencyTable
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import garbage
from support import Running, free_port, write_config
from torch.utils.flop_counter import FlopCounterMode


def pytest_configure() -> None:
    """Look for garbage less often, as the programs do: one look at what thousands of tests leave takes a second."""
    garbage.search_less_often()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest comes first in ``pytest -n``, so that no process is left with it at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("nni") is None)


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


@pytest.fixture(scope="session")
def trained_digits(tmp_path_factory, digits_space, two_exits):
    """The folder of a network of digits that was trained a little."""
    folder = tmp_path_factory.mktemp("trained")
    train_one(digits_space, two_exits, Settings.from_options(epochs=2, threads=1), folder, say=lambda line: None)
    return folder


@pytest.fixture
def network(digits_space, two_exits):
    torch.manual_seed(0)
    return digits_space.freeze(two_exits)


@pytest.fixture
def call(monkeypatch, capsys):
    """``nni-earlyexit`` within this process, which has imported all that it needs: its exit code, and what it said."""

    def run(*words: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["nni-earlyexit", *map(str, words)])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def table_of_macs(tmp_path_factory):
    """A latency table of a space, as of a machine that takes a nanosecond for each MAC."""

    def made(space):
        seconds = {}
        for unit in units(take_apart(space.network, example(space.input_shape))):
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                unit.module(unit.x)
            seconds[unit.name] = max(1e-18, 1e-9 * counter.get_total_flops() / 2)
        path = tmp_path_factory.mktemp("table") / "latency.json"
        LatencyTable(space.identity(), machine(), Conditions(1, 1), 1.0, seconds).save(path)
        return path

    return made


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium, which keeps what pages write to its console."""
    from selenium import webdriver

    if not shutil.which("chromium") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-qq", "-y", "chromium", "chromium-driver"], check=False)
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
        "--window-size=1600,1500",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
