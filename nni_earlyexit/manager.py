"""A running NNI experiment seen through its manager's REST interface, and its start and end through ``nnictl``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import requests
from nni_earlyexit.environment import environment, programs
from nni_earlyexit.rest import ENDED_TRIAL


@dataclass(frozen=True)
class Manager:
    """The manager of experiment ``id``, listening on ``port`` of this machine."""

    id: str
    port: int

    @classmethod
    def start(cls, config: Path, port: int) -> Manager:
        """``nnictl create --config config --port port``; ``OSError`` with what ``nnictl`` said when it fails."""
        command = [str(programs() / "nnictl"), "create", "--config", str(config), "--port", str(port)]
        # its own session: Ctrl-C ends this process, which then stops the experiment in order
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment(), start_new_session=True, check=False
        )
        said = re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr)
        found = re.search(r"Experiment ID:\s*(\w+)", said)
        if done.returncode != 0 or found is None:
            raise OSError(f"nnictl create failed: {said.strip()[-2000:]}")
        return cls(found.group(1), port)

    @property
    def address(self) -> str:
        """Where the web UI is."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Any:
        """The JSON that the manager answers for ``path``."""
        response = requests.get(f"{self.address}/api/v1/nni/{path}", timeout=20)
        response.raise_for_status()
        return response.json()

    def status(self) -> str:
        """NNI's status of the experiment, such as ``RUNNING`` or ``DONE``."""
        return self.get("check-status")["status"]

    def trials(self) -> list[dict[str, Any]]:
        """The trials with NNI's status and, where one reported, its final metrics as ``metrics``."""
        trials = self.get("trial-jobs")
        for trial in trials:
            reported = trial.get("finalMetricData")
            trial["metrics"] = unpack(reported[-1]["data"]) if reported else None
        return trials

    def has_ended(self, status: str, trials: list[dict[str, Any]]) -> bool:
        """Whether nothing runs any more and nothing will.

        When another tuner than ours has no more trials, NNI says so before it has started the last ones, and never says
        ``DONE``.
        """
        if status != "TUNER_NO_MORE_TRIAL":
            return status in ("DONE", "ERROR", "STOPPED")
        ended = sum(trial["status"] in ENDED_TRIAL for trial in trials)
        return ended == len(trials) and ended >= self.get("experiment")["nextSequenceId"]

    def stop(self) -> None:
        """``nnictl stop``, then wait until the manager, the tuner and the trials are gone; end those that stay by their id."""
        processes = self._processes()
        patience = 15 if self._answers() else 0  # without its manager nothing ends by itself for a while
        command = [str(programs() / "nnictl"), "stop", self.id]
        subprocess.run(command, capture_output=True, env=environment(), start_new_session=True, check=False)
        _, alive = psutil.wait_procs(processes, timeout=patience)
        for end in (signal.SIGTERM, signal.SIGKILL):
            for process in alive:
                try:
                    process.send_signal(end)
                except psutil.NoSuchProcess:
                    continue
            _, alive = psutil.wait_procs(alive, timeout=5)

    def _answers(self) -> bool:
        try:
            self.status()
        except requests.RequestException:
            return False
        return True

    def _processes(self) -> list[psutil.Process]:
        """The manager, its tuner and its trials with all that they started, also when the manager is gone."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            try:
                if self._owns(process.cmdline(), process.environ()):
                    found |= {member.pid: member for member in (process, *process.children(recursive=True))}
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return list(found.values())

    def _owns(self, command: list[str], variables: dict[str, str]) -> bool:
        return (
            ("--experiment-id", self.id) in pairwise(command)
            or variables.get("NNI_EXP_ID") == self.id
            or self.id in Path(variables.get("NNI_CHECKPOINT_DIRECTORY", "")).parts
        )


def unpack(data: str) -> Any:
    """A metric as NNI stores it: JSON in a JSON string."""
    value = json.loads(data)
    return json.loads(value) if isinstance(value, str) else value


def last_error(log: Path) -> str | None:
    """The last error in the tuner's log, or ``None``."""
    if not log.is_file():
        return None
    errors = [line for line in log.read_text(errors="replace").splitlines() if " ERROR " in line]
    return re.sub(r"^.*? ERROR \(.*?\)+ ", "", errors[-1]) if errors else None
