"""From ``init`` to a front, with a manager that is killed in between and ``resume``."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest
import requests
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.experiment.overview import overview
from nni_earlyexit.integration import nni_processes
from support import PROGRAM, eventually, free_port, left_behind, lines_until, start_program

pytestmark = pytest.mark.nni


def test_what_init_writes_runs_and_goes_on_after_its_manager_was_killed(tmp_path):
    options = ["--data", "digits", "--max-avg-macs", "600k", "--trials", "4", "--time", "5m", "--epochs", "1"]
    subprocess.run([PROGRAM, "init", *options, "--out", str(tmp_path)], check=True)
    port = free_port()
    quick = "--trial-options=--threads 1 --start warm"
    process = start_program(["run", str(tmp_path / "experiment.yml"), "--port", str(port), quick])
    lines_until(process, r"[12]/4 trials")
    (manager,) = [manager for manager in nni_processes.managers() if manager.port == port]
    process.kill()  # whoever follows it is gone first, or would end the trials that still run
    os.kill(manager.process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    process.stdout.close()
    before = overview(manager.folder)
    finished = {path: path.stat().st_mtime_ns for path in manager.folder.glob("environments/*/trials/*/trial.json")}
    assert (before.status, before.port) == ("STOPPED", None)

    command = ["resume", manager.id, "--port", str(port), "--results", str(tmp_path / "results")]
    resumed = start_program(command)
    said = "".join(lines_until(resumed, "web UI"))
    assert Manager.all_from(manager.file) == [Manager(manager.id, port)]  # so that nobody starts the file a second time
    said += resumed.stdout.read()
    assert resumed.wait() == 0, said
    assert f"goes on with experiment {manager.id}" in said
    assert json.loads((tmp_path / "results" / "front.json").read_text())["trials"] == 4
    assert all(path.stat().st_mtime_ns == time for path, time in finished.items())
    assert overview(manager.folder).status == "DONE"
    eventually(lambda: not nni_processes.of_experiment(manager.id))
    assert not [command for command in left_behind(tmp_path) if "resume" not in command]

    shown = subprocess.run(
        [PROGRAM, "view", manager.id, "--port", str(port)], check=True, capture_output=True, text=True
    )
    viewer = Manager(manager.id, port)
    try:
        assert viewer.address in shown.stdout
        assert viewer.status() == "VIEWED"
        page = requests.get(f"{viewer.address}/detail", timeout=30).text
        assert "noteFewAxes" in page
        again = subprocess.run([PROGRAM, "view", manager.id], check=False, capture_output=True, text=True)
        assert again.returncode == 2
        assert f"is shown on port {port} already" in again.stderr
    finally:
        viewer.stop()
    eventually(lambda: not nni_processes.of_experiment(manager.id))
