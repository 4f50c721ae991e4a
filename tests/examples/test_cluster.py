"""The example of several machines, over real SSH: the worker is this machine with a home of its own."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from nni_earlyexit.evaluation import network_front
from support import PROGRAM, eventually, free_port, left_behind

pytestmark = [pytest.mark.nni, pytest.mark.slow]

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
TRIALS = 2


@pytest.fixture
def worker(tmp_path):
    """The entry of a machine for an experiment file, and the home that trials have there."""
    if SSHD is None:
        pytest.skip("needs sshd")
    if os.geteuid() == 0:
        with suppress(OSError):
            Path("/run/sshd").mkdir(exist_ok=True)  # without which root's does not start
    keys, home, port = tmp_path / "keys", tmp_path / "worker", free_port()
    keys.mkdir()
    home.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    config = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": keys / "host",
        "PidFile": "none",
        "AuthorizedKeysFile": keys / "user.pub",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
        # as the README says, pip keeps what is installed
        "SetEnv": f"HOME={home} PIP_NO_INDEX=1 OMP_NUM_THREADS=1",
    }
    (keys / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in config.items()))
    with (keys / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", keys / "sshd_config"], stderr=log)

    def listens():
        assert server.poll() is None, (keys / "log").read_text()
        return "Server listening" in (keys / "log").read_text()

    try:
        eventually(listens)
        python = str(Path(sys.executable).parent)
        machine = {"host": "127.0.0.1", "port": port, "user": getpass.getuser()}
        yield {**machine, "sshKeyFile": str(keys / "user"), "pythonPath": python}, home
    finally:
        server.terminate()
        server.wait()


def test_trials_run_on_a_worker_and_their_networks_are_fetched(worker, examples, run_command, tmp_path):
    machine, home = worker
    config = yaml.safe_load((examples / "cluster" / "experiment.yml").read_text())
    assert machine.keys() - {"port"} == config["trainingService"]["machineList"][0].keys()
    config["trainingService"]["machineList"] = [machine]
    config |= {"maxTrialNumber": TRIALS, "experimentWorkingDirectory": str(tmp_path / "nni")}
    command = config["trialCommand"].replace("--epochs 12", "--epochs 1 --threads 1")
    config["trialCommand"] = command.replace(" --max-avg-macs 600k", "")  # one epoch may be too little to keep it
    config["searchSpaceFile"] = str(examples / "digits" / "search_space.json")
    file = tmp_path / "project" / "experiment.yml"  # NNI copies its folder to the worker
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(config))

    said = run_command(PROGRAM, "run", file, "--port", free_port(), folder=tmp_path, right=1)
    assert f"{TRIALS}/{TRIALS} trials, best so far" in said
    assert "those of trials on other machines lie there" in said
    (experiment,) = (path for path in (tmp_path / "nni").iterdir() if not path.is_symlink())
    assert list(experiment.glob("environments/*/trials/*")) == []
    eventually(lambda: left_behind(home) == [])

    trust = ("--option", f"UserKnownHostsFile={tmp_path / 'known'}", "--option", "StrictHostKeyChecking=accept-new")
    fetch = examples / "cluster" / "fetch.py"
    run_command(sys.executable, fetch, file, experiment.name, *trust, folder=tmp_path)
    trials = network_front.finished(experiment)
    assert len(trials) == TRIALS
    assert all(trial.metrics["sample"] == trial.sample for trial in trials)
    said = run_command(PROGRAM, "front", experiment, "--results", "results", folder=tmp_path)
    written = json.loads((tmp_path / "results" / "front.json").read_text())
    assert written["trials"] == TRIALS
    assert all(member["architecture"] in said for member in written["front"])
