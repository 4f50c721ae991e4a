"""NNI's processes on this machine: managers, and the tuner and trials that belong to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

FILE_VARIABLE, STARTER_VARIABLE = "NNI_EARLYEXIT_FILE", "NNI_EARLYEXIT_STARTER"
"""Environment variables in which a manager finds the path of its experiment file and a word of the one who started it."""


@dataclass(frozen=True)
class ManagerProcess:
    """A manager that runs.

    Attributes
    ----------
    process
        The process itself.
    id
        The experiment's ID.
    port
        Port of this machine that it listens on.
    folder
        The experiment's folder.
    file
        The experiment file that ``nni-earlyexit run`` started it from, if it did.
    starter
        A word that it was started with, which no other start has.
    """

    process: psutil.Process
    id: str
    port: int
    folder: Path
    file: Path | None
    starter: str | None


def managers() -> Iterator[ManagerProcess]:
    """All managers that run and may be looked at."""
    for process, command, variables in _all():
        options = {name: value for name, value in pairwise(command) if name.startswith("--")}
        port = options.get("--port", "")
        if "--experiment-id" not in options or "--experiments-directory" not in options or not port.isdecimal():
            continue
        experiment = options["--experiment-id"]
        file = variables.get(FILE_VARIABLE)
        yield ManagerProcess(
            process,
            experiment,
            int(port),
            folder=Path(options["--experiments-directory"]) / experiment,
            file=Path(file) if file else None,
            starter=variables.get(STARTER_VARIABLE),
        )


def one_begins() -> bool:
    """``True`` while a process has just begun with a program, and cannot be told from a manager: it has no command line yet.

    This takes milliseconds, and longer where the program still has to come from the disk.
    """
    for process in psutil.process_iter():
        try:
            # processes of the system have none either, and no program; nor has one that has ended
            if not process.cmdline() and process.exe() and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return False


def of_experiment(experiment: str) -> list[psutil.Process]:
    """The manager, its tuner and its trials with all that they started, also when the manager is gone."""
    processes: dict[int, psutil.Process] = {}
    for process, command, variables in _all():
        try:
            if _belongs(experiment, command, variables):
                processes |= {member.pid: member for member in (process, *process.children(recursive=True))}
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return list(processes.values())


def _belongs(experiment: str, command: list[str], variables: dict[str, str]) -> bool:
    return (
        ("--experiment-id", experiment) in pairwise(command)
        or variables.get("NNI_EXP_ID") == experiment
        or experiment in Path(variables.get("NNI_CHECKPOINT_DIRECTORY", "")).parts
    )


def _all() -> Iterator[tuple[psutil.Process, list[str], dict[str, str]]]:
    """Every process with its command line and environment, if they may be read."""
    for process in psutil.process_iter():
        try:
            # one that has ended and that nobody has waited for has neither
            yield process, process.cmdline(), process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
