"""A running NNI experiment seen through its manager's REST interface, its start through ``nnictl``, and its end."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from nni_earlyexit.evaluation import nni_database
from nni_earlyexit.experiment.environment import environment
from nni_earlyexit.integration import nni_processes, rest
from nni_earlyexit.utils import files
from nni_earlyexit.utils.checks import check_port, unknown

POLL_PATIENCE_S = 10
"""Seconds that one look at the experiment may take; whoever looks goes on looking."""
NO_REASON = "Found multiple FINAL results"
"""Message that NNI's manager calls an error, and is none: a trial may have reported its result twice."""
STARTED_FROM = "started_from"
"""File in an experiment's folder with the path of the experiment file that it was started from."""
STOPPING_S = 60
"""Seconds that a manager may take to end itself, as ``nnictl stop`` gives it."""


@dataclass(frozen=True)
class Manager:
    """The manager of experiment ``id``, listening on ``port`` of this machine."""

    id: str
    port: int

    @classmethod
    def start(cls, config: Path, port: int, starter: str = "") -> Manager:
        """Start an experiment with ``nnictl create --config config --port port``, which is found by ``starter`` from then on.

        Raises ``ValueError`` when the port is taken, and ``OSError`` with what ``nnictl`` said when it fails.
        """
        return cls._launched(["create", "--config", str(config)], port, config, starter)

    @classmethod
    def resume(cls, folder: Path, port: int) -> Manager:
        """Go on with the stopped experiment in ``folder``, called as its ID, with ``nnictl resume``; errors as :meth:`start`.

        None of its old processes may run any more: the old tuner would connect to the new manager.
        """
        return cls._launched(["resume", *_stored(folder)], port, _started_from(folder))

    @classmethod
    def view(cls, folder: Path, port: int) -> Manager:
        """Show the stopped experiment in ``folder``, called as its ID, with ``nnictl view``; errors as :meth:`start`.

        ``ValueError`` for one whose manager runs, and for a folder without NNI's database.
        """
        nni_database.load(folder)
        for manager in nni_processes.managers():
            if manager.id == folder.resolve().name:
                raise ValueError(f"experiment: {manager.id!r} is shown on port {manager.port} already")
        return cls._launched(["view", *_stored(folder)], port)

    @classmethod
    def _launched(cls, arguments: list[str], port: int, config: Path | None = None, starter: str = "") -> Manager:
        program = [sys.executable, "-m", "nni_earlyexit.experiment.patient_nnictl"]
        command = [*program, *arguments, "--port", str(port)]
        with _starting_on(port):
            check_port(port)
            # its own session: Ctrl-C ends this process, which then stops the experiment in order
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                env=environment(config, starter),
                start_new_session=True,
                check=False,
            )
            said = re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr).strip()
            match = re.search(r"Experiment ID:\s*(\w+)", said)
            if done.returncode == 0 and match is not None:
                return cls(match.group(1), port)
            if "is not idle" in said or "EADDRINUSE" in said:
                check_port(port)  # somebody else was faster
            raise OSError(f"nnictl {arguments[0]} failed: {said.splitlines()[-1] if said else 'it said nothing'}")

    @staticmethod
    def remember_file(config: Path, folder: Path) -> None:
        """Note in the experiment's ``folder`` from which file it was started, so that it is known after a resume, too."""
        with suppress(OSError, ValueError):  # nothing else depends on it
            files.write_whole(folder / STARTED_FROM, lambda path: path.write_text(str(config.resolve()), "utf-8"))

    @classmethod
    def all_from(cls, config: Path) -> list[Manager]:
        """The managers that were started from the experiment file ``config``, or resumed since, and run."""
        return [cls(m.id, m.port) for m in nni_processes.managers() if m.file == config.resolve()]

    @classmethod
    def all_started_by(cls, starter: str) -> list[Manager]:
        """The managers that were started with this word and that run."""
        return [cls(m.id, m.port) for m in nni_processes.managers() if m.starter == starter]

    @classmethod
    def running(cls, experiment: str) -> tuple[Manager, nni_processes.ManagerProcess]:
        """The manager of an experiment that runs on this machine; ``ValueError`` when it does not."""
        processes = {process.id: process for process in nni_processes.managers()}
        if experiment not in processes:
            raise unknown("experiment that runs on this machine", experiment, sorted(processes))
        return cls(experiment, processes[experiment].port), processes[experiment]

    @property
    def address(self) -> str:
        """URL of the web UI."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, patience_s: float = POLL_PATIENCE_S) -> Any:
        """The JSON that the manager answers for ``path``; :class:`rest.NoAnswer` when it does not for a while."""
        return rest.get(f"{self.address}/api/v1/nni", path, patience_s=patience_s)

    def status(self) -> str:
        """NNI's status of the experiment, such as ``RUNNING`` or ``DONE``."""
        return self.get("check-status")["status"]

    def trials(self) -> list[dict[str, Any]]:
        """The trials with NNI's status and, where one reported, its final metrics as ``metrics``."""
        trials = self.get("trial-jobs")
        for trial in trials:
            reported = trial.get("finalMetricData")
            trial["metrics"] = rest.unpack(reported[-1]["data"]) if reported else None
        return trials

    def epochs(self, trials: Iterable[str]) -> dict[str, int]:
        """The number of intermediate results that each of these ``trials`` has reported, one an epoch, where it has any."""
        counts = {trial: len(self.get(f"metric-data/{trial}?type=PERIODICAL")) for trial in trials}
        return {trial: count for trial, count in counts.items() if count}

    def has_ended(self, status: str, trials: list[dict[str, Any]]) -> bool:
        """``True`` if nothing runs any more and nothing will.

        When another tuner than ours has no more trials, NNI says so before it has started the last ones, and never says
        ``DONE``.
        """
        if status != "TUNER_NO_MORE_TRIAL":
            return status in ("DONE", "ERROR", "STOPPED")
        ended = sum(trial["status"] in rest.ENDED_TRIAL for trial in trials)
        return ended == len(trials) and ended >= self.get("experiment")["nextSequenceId"]

    def lives(self) -> bool:
        """``True`` if its process runs."""
        return any(manager.id == self.id for manager in nni_processes.managers())

    def stop(self) -> None:
        """Stop as ``nnictl stop`` does, wait until manager, tuner and trials are gone, and end those that stay by their id."""
        managers = [manager.process for manager in nni_processes.managers() if manager.id == self.id]
        for process in managers:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        # one that is busy, and does not answer, ends all the same; one that the system has halted hears nothing
        halted = any(_is_halted(process) for process in managers)
        psutil.wait_procs(managers, timeout=0 if halted else STOPPING_S)
        # without its manager nothing ends by itself for a while
        psutil.wait_procs(nni_processes.of_experiment(self.id), timeout=15 if managers and not halted else 0)
        for end in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
            # looked for again: until it ended, the manager may have started a trial
            alive = nni_processes.of_experiment(self.id)
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(end)
            psutil.wait_procs(alive, timeout=5)


def _is_halted(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def _stored(folder: Path) -> list[str]:
    """The words by which ``nnictl`` finds the experiment in ``folder``."""
    place = folder.resolve()
    return [place.name, "--experiment_dir", str(place.parent)]


def _started_from(folder: Path) -> Path | None:
    """The experiment file that the experiment in ``folder`` was started from, if that is known and it is there."""
    try:
        file = Path((folder / STARTED_FROM).read_text("utf-8"))
        return file if file.is_file() else None
    except (OSError, ValueError):
        return None


@contextmanager
def _starting_on(port: int) -> Iterator[None]:
    """Allow one start on a port at a time: two that begin at once would both find it free, and NNI mixes them up."""
    home = Path.home() / "nni-experiments"  # where nnictl keeps its list of experiments
    home.mkdir(exist_ok=True)
    with (home / f".port-{port}.lock").open("w") as lock:
        with suppress(OSError):  # a network file system may have no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def reasons(folder: Path) -> str:
    """Reasons why NNI failed: the last error in the tuner's log and in the manager's of the experiment in ``folder``."""
    errors = []
    for name, who in (("dispatcher.log", "tuner"), ("nnimanager.log", "manager")):
        error = last_error(folder / "log" / name)
        if error is not None:
            errors.append(error if who == "tuner" else f"NNI's manager says: {error}")
    return "; ".join(errors) or f"no reason is in its logs, {folder / 'log'}"


def last_error(log: Path, start: int = 0) -> str | None:
    """The last error in a log of NNI's that is one, from the byte ``start`` on."""
    try:
        lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    except OSError:
        return None
    errors = [line for line in lines if re.search(r" (ERROR|CRITICAL) \(", line) and NO_REASON not in line]
    return re.sub(r"^.*? (ERROR|CRITICAL) \(.*?\)+ ", "", errors[-1]) if errors else None
