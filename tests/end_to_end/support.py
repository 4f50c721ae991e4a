"""Real NNI experiments for tests: Node manager, web UI, tuner and trials, in folders and on ports of their own."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from nni_earlyexit import search_spaces
from nni_earlyexit.experiment.environment import environment, programs
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.integration import nni_processes
from nni_earlyexit.integration.trial_client import SERVER

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
PORTS = list(range(20_000 + WORKER % 6 * 2_000, 22_000 + WORKER % 6 * 2_000))
random.SystemRandom().shuffle(PORTS)
"""Of this process of ``pytest -n`` alone, and below those that the system gives to outgoing connections.

In no order, because another run of the tests on this machine may look for ports, too.
"""


def free_port() -> int:
    """A port on which nothing listens, and that nobody is given a second time."""
    while PORTS:
        port = PORTS.pop()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port
    raise OSError("no port is free")


def write_config(folder: Path, **changes: Any) -> Path:
    """The digits example with ``changes``, its experiments kept in ``folder``; a change to ``None`` removes a field."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXAMPLE / "search_space.json", folder)
    config = yaml.safe_load((EXAMPLE / "experiment.yml").read_text())
    config |= {"experimentWorkingDirectory": str(folder / "nni"), "maxExperimentDuration": "900s", **changes}
    path = folder / "experiment.yml"
    path.write_text(yaml.safe_dump({field: value for field, value in config.items() if value is not None}))
    return path


OWN_SPACE = '''
import os, time
import torch
from nni_earlyexit.search_spaces import digits

class Space(digits.Space):
    """The digits, of which some trials do something else with their network."""
    name = "own.space"

    def freeze(self, sample):
        network = super().freeze(sample)
        if os.environ.get("NNI_TRIAL_SEQ_ID") in {trials}:
            {does}
        return network
'''


def own_space(folder: Path, trials: Collection[str], does: str, command: str) -> dict[str, Any]:
    """Write a space to ``folder`` whose trials of these numbers execute ``does``; the changes to an experiment file for it.

    ``folder`` belongs on ``PYTHONPATH``. ``command`` is the ``trialCommand`` without the permission for the space.
    """
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "space.py").write_text(OWN_SPACE.format(trials=set(trials), does=does))
    return {
        "trialCommand": f"{command} --allow-space own.space",
        "searchSpaceFile": None,
        "searchSpace": {
            **json.loads(json.dumps(search_spaces.create("digits").search_space())),
            "space": {"_type": "choice", "_value": ["own.space/2"]},
        },
        "tuner": {"name": "EarlyExit", "classArgs": {"space": "own.space"}},
    }


def nnictl(*arguments: str) -> None:
    """``nnictl`` with ``arguments``, which must succeed."""
    subprocess.run([str(programs() / "nnictl"), *arguments], env=environment(), capture_output=True, check=True)


def eventually(condition: Callable[[], object], seconds: float = 400) -> None:
    """Wait until ``condition`` holds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.2)


PROGRAM = Path(sys.executable).parent / "nni-earlyexit"
TRIAL = "python -m nni_earlyexit.trial --epochs {epochs} --threads 1 --max-avg-macs 600k"


def launch(
    folder: Path, port: int, variables: dict[str, str] | None = None, options: Sequence[str] = (), **changes: Any
) -> subprocess.Popen[str]:
    """``nni-earlyexit run`` with the digits example and ``changes``, kept in ``folder``, in a session of its own."""
    return start_program(["run", str(write_config(folder, **changes)), "--port", str(port), *options], variables)


def start_program(arguments: Sequence[str], variables: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """``nni-earlyexit`` with ``arguments``, in a session of its own; what it says is one pipe."""
    return subprocess.Popen(
        [str(PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **(variables or {})},
        # where the tests run without a terminal, it may be ignored, which all that they start would inherit
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def launch_and_wait_for_a_trial(folder: Path) -> tuple[int, subprocess.Popen[str], list[str]]:
    """A long experiment of which the first trial has just finished: its port, its process and what it said."""
    port = free_port()
    process = launch(folder, port, trialCommand=TRIAL.format(epochs=3), maxTrialNumber=30)
    return port, process, lines_until(process, r"[12]/30 trials")


def kill_at(process: subprocess.Popen[str], beginning: str) -> None:
    """Kill the process, as ``kill -9`` does, when it says a line with this ``beginning``."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            process.kill()
            break
    process.wait(timeout=60)
    process.stdout.close()


def until(condition: Callable[[], bool], seconds: float = 400) -> None:
    """Wait for ``condition``; ``AssertionError`` if it does not come to pass."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def lines_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    """What the process says up to the first line that matches ``pattern``."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if re.search(pattern, line):
            return said
    raise AssertionError("".join(said))


def listening_addresses(port: int) -> set[str]:
    return {
        c.laddr.ip for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    }


def left_behind(folder: Path) -> list[list[str]]:
    """Processes that have to do with an experiment kept in ``folder``."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in word for word in process.cmdline()) or process.cwd().startswith(str(folder)):
                found.append(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


@dataclass
class Running:
    """An experiment that was started for a test."""

    manager: Manager
    folder: Path

    def wait(self, seconds: float = 600) -> list[dict[str, Any]]:
        """Wait until it has ended; its trials."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status, trials = self.manager.status(), self.manager.trials()
            if self.manager.has_ended(status, trials):
                return trials
            time.sleep(0.5)
        raise TimeoutError(f"experiment {self.manager.id} is {status} after {seconds} s: {trials}")

    @property
    def trial_folders(self) -> Path:
        return self.folder / "environments" / "local-env" / "trials"

    def kill(self, what: str, trial: str | None = None) -> None:
        """Kill as ``kill -9`` does: ``manager``, ``tuner``, the process that NNI has started for a ``trial``, the ``server``
        that warm trials are forked from, or a ``fork`` of it, as soon as there is one.
        """
        processes: list[psutil.Process] = []

        def there_are() -> bool:
            processes[:] = self._processes(what, trial)
            return bool(processes)

        until(there_are, 60)
        for process in processes:
            process.kill()
        psutil.wait_procs(processes)

    def _processes(self, what: str, trial: str | None) -> list[psutil.Process]:
        found = []
        for process in nni_processes.of_experiment(self.manager.id):
            try:
                command, variables = process.cmdline(), process.environ()
                parent = process.parent()
                forked = parent is not None and parent.cmdline() == command
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            job = variables.get("NNI_TRIAL_JOB_ID")
            if SERVER in command:
                kind = "fork" if forked else "server"
            else:
                kind = "trial" if job else "manager" if "--experiment-id" in command else "tuner"
            if kind == what and job == trial:
                found.append(process)
        return found[:1] if what == "fork" else found


def run_script(code: str, home: Path, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python ``code`` to its end in ``home``, which is its home, too: there NNI keeps what it starts."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env={**os.environ, **variables, "HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
