"""What the doctor says of an environment that is well, and of ones that are not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from nni_earlyexit.experiment import doctor
from nni_earlyexit.experiment.doctor import State


def states(findings):
    return {finding.thing: finding.state for finding in findings}


def test_packages_of_this_environment_fit():
    seen = states(doctor.packages())
    assert set(seen) == set(doctor.SHOWN)
    assert set(seen.values()) == {State.OK}


def test_this_python_fits():
    assert doctor.python().state is State.OK


@pytest.mark.parametrize(
    ("version", "wanted", "state"),
    [("80.1", "<81", State.OK), ("81.0", "<81", State.BROKEN), ("3.0", "==3.0", State.OK)],
)
def test_a_version_has_to_be_in_the_range(monkeypatch, version, wanted, state):
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    finding = doctor.package("setuptools", wanted)
    assert finding.state is state
    assert ('pip install "setuptools<81"' in finding.remedy) == (state is State.BROKEN)


def test_a_package_that_is_missing_is_broken_and_its_installation_is_said():
    finding = doctor.package("no-such-package-here", ">=1")
    assert (finding.state, finding.seen) == (State.BROKEN, "it is not installed")
    assert finding.remedy.endswith('-m pip install "no-such-package-here>=1"\'')


def test_a_port_in_use_is_a_warning():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        finding = doctor.port_free(port)
    assert finding.state is State.WARNING
    assert finding.seen.startswith(f"{port} is in use")
    assert doctor.port_free(port).state is State.OK


def test_a_folder_that_is_a_file_is_broken(tmp_path):
    (tmp_path / "file").write_text("")
    assert doctor.folder_usable("cache", tmp_path / "file" / "inside").state is State.BROKEN
    assert doctor.folder_usable("cache", tmp_path / "not" / "yet" / "there").state is State.OK


@pytest.mark.parametrize(("free", "state"), [(1e8, State.BROKEN), (1e9, State.WARNING), (1e11, State.OK)])
def test_a_disk_without_room_is_said(monkeypatch, tmp_path, free, state):
    usage = type("usage", (), {"free": free})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    finding = doctor.folder_usable("experiments", tmp_path)
    assert finding.state is state
    assert bool(finding.remedy) == (state is not State.OK)


def test_a_gpu_that_torch_does_not_see_is_a_warning():
    assert doctor.gpu([], None, False).state is State.OK
    assert doctor.gpu([], None, True).seen == "there is one, and torch is made for the CPU alone"
    assert doctor.gpu([], "13.0", True).state is State.WARNING
    assert "trialConcurrency: 2" in doctor.gpu(["A", "A"], "13.0", True).seen


BROKEN = """
import sys
from importlib import metadata
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nni", "torch"):
            raise ImportError(f"{name} cannot be imported here")
sys.meta_path.insert(0, Refuses())
"""


def test_it_survives_an_environment_without_nni_whose_torch_cannot_be_imported(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    command = [sys.executable, "-m", "nni_earlyexit.cli", "doctor", "--csv"]
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 1, done.stderr
    lines = {line.split(",")[0]: line for line in done.stdout.splitlines()}
    assert lines["import torch"].startswith("import torch,broken,ImportError: torch cannot be imported here")
    assert lines["tuner"].startswith("tuner,broken,NNI cannot be asked: ImportError: nni cannot be imported here")
    assert lines["nnictl"].startswith("nnictl,broken,it does not start: ImportError: nni cannot be imported here")
    assert lines["python"].startswith("python,ok")
