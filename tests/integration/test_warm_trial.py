"""Trials that are forked from a process which has imported everything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from nni_earlyexit.integration import trial_client, trial_server
from nni_earlyexit.integration.trial_arguments import parse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks of a server need Linux")

CLIENT = """
import sys
from nni_earlyexit.integration import trial_client
code = trial_client.run(sys.argv[1:])
print("cold" if code is None else code, file=sys.stderr, flush=True)
"""

SERVER = """
import os, sys, time
from pathlib import Path
from nni_earlyexit.integration import trial_server

def trial():
    what = os.environ["WHAT"]
    print("in", os.getcwd(), flush=True)
    if what == "exit": sys.exit(7)
    if what == "crash": os.kill(os.getpid(), 11)
    if what == "raise": raise RuntimeError("it fails")
    if what == "family":
        child = os.fork()
        if child == 0: time.sleep(600)
        Path(os.environ["PIDFILE"]).write_text(str(child))
        time.sleep(600)
    if what == "wait":
        Path(os.environ["PIDFILE"]).write_text(str(os.getpid()))
        time.sleep(600)
    if what == "read": print("read", sys.stdin.read(), os.environ.get("NNI_TRIAL_JOB_ID"))

trial_server._prepared = lambda arguments: trial
trial_server.IDLE_S = float(sys.argv[2])
trial_server.serve.__defaults__ = (trial_server.IDLE_S,)
trial_server.main()
"""


@pytest.fixture
def manager():
    """A port at which somebody listens, as NNI's manager would."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def place(tmp_path, manager, monkeypatch):
    """The environment of a trial; temporary files are in a folder of the test."""
    temporary = tmp_path / ("tmp" * 40)  # longer than the name of a socket may be
    temporary.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", None)
    for name, value in {
        "TMPDIR": str(temporary),
        "NNI_EXP_ID": "abc",
        "NNI_TRIAL_COMMAND_CHANNEL": f"http://127.0.0.1:{manager.getsockname()[1]}/env/local-env",
    }.items():
        monkeypatch.setenv(name, value)
    return temporary


@pytest.fixture
def server(place, tmp_path):
    """A server whose trials do what the variable WHAT says; its process."""
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    path = trial_client._folder() / trial_client._key(["600"])
    process = subprocess.Popen([sys.executable, str(script), str(path), "600"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"listens\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def client(what: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, "600"],
        env={**os.environ, "WHAT": what, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_fork_has_the_environment_the_folder_and_the_streams_of_the_trial(server, tmp_path):
    with client("read", NNI_TRIAL_JOB_ID="own") as trial:
        said, errors = trial.communicate("hello", timeout=60)
    assert said == f"in {tmp_path}\nread hello own\n"
    assert errors == "0\n"


@pytest.mark.parametrize(("what", "code"), [("exit", 7), ("crash", -signal.SIGSEGV), ("raise", 1)])
def test_it_ends_as_its_fork_does_and_the_server_goes_on(server, what, code):
    with client(what) as trial:
        _, errors = trial.communicate(timeout=60)
    assert errors.splitlines()[-1] == str(code)
    if what == "raise":
        assert "RuntimeError: it fails" in errors
    with client("read", NNI_TRIAL_JOB_ID="next") as trial:
        said, _ = trial.communicate("more", timeout=60)
    assert said.endswith("read more next\n")
    assert server.poll() is None


@pytest.mark.parametrize("what", ["wait", "family"])
def test_a_fork_ends_with_the_process_that_nni_started_and_all_that_it_started(server, tmp_path, what):
    pidfile = tmp_path / "pid"
    with client(what, PIDFILE=str(pidfile)) as trial:
        until(lambda: pidfile.exists() and pidfile.read_text() != "")
        trial.kill()
        trial.communicate(timeout=60)
    until(lambda: gone(int(pidfile.read_text())))
    assert server.poll() is None


def test_many_trials_that_end_as_their_processes_are_killed_disturb_nobody(server):
    trials = [client("exit") for _ in range(8)]
    for trial in trials:
        trial.kill()
    for trial in trials:
        with trial:
            trial.communicate(timeout=60)
    with client("exit") as trial:
        _, errors = trial.communicate(timeout=60)
    assert errors == "7\n"


def test_when_the_server_is_lost_its_forks_end_and_the_trial_does_the_work_itself(server, tmp_path):
    pidfile = tmp_path / "pid"
    with client("wait", PIDFILE=str(pidfile)) as trial:
        until(lambda: pidfile.exists() and pidfile.read_text() != "")
        server.kill()
        _, errors = trial.communicate(timeout=60)
    assert errors.splitlines()[-1] == "cold"
    until(lambda: gone(int(pidfile.read_text())))


def test_the_server_ends_with_the_manager(server, manager):
    with client("exit") as trial:
        trial.communicate(timeout=60)
    manager.close()
    assert server.wait(timeout=60) == 0


@pytest.mark.parametrize("sent", [b"what", b"\0\0\0\2{}", b"\0\0\0\2[]", b"\0\0\0\3nul"])
def test_who_sends_no_request_disturbs_nobody(server, sent):
    path = trial_client._folder() / trial_client._key(["600"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        folder = os.open(path.parent, os.O_RDONLY)
        stranger.connect(trial_client.address(folder, path))
        os.close(folder)
        socket.send_fds(stranger, [sent], [0, 1, 2])
        stranger.shutdown(socket.SHUT_WR)
        assert stranger.recv(1) == b""
    with client("exit") as trial:
        _, errors = trial.communicate(timeout=60)
    assert errors == "7\n"


def test_without_a_trial_it_ends_after_a_while(place, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        serving = threading.Thread(target=trial_server.serve, args=(listener, lambda: None, 0.0))
        serving.start()
        serving.join(timeout=60)
        assert not serving.is_alive()


def test_a_folder_that_others_can_read_is_not_used(place):
    (place / f"nni-earlyexit-{os.getuid()}").mkdir()
    (place / f"nni-earlyexit-{os.getuid()}").chmod(0o755)
    assert trial_client.run(["600"]) is None


def test_a_server_that_cannot_prepare_leaves_the_trial_to_itself(place, tmp_path):
    assert trial_client.run(["--weights", str(tmp_path / "none.safetensors")]) is None
    (log,) = (place / f"nni-earlyexit-{os.getuid()}").glob("*.log")
    until(lambda: "there is no file" in log.read_text())
    started = log.stat().st_mtime_ns
    assert trial_client.run(["--weights", str(tmp_path / "none.safetensors")]) is None
    assert log.stat().st_mtime_ns == started  # it is not tried again by every trial


def test_nni_can_stop_a_trial_that_waits_for_its_fork(server, tmp_path):
    pidfile = tmp_path / "pid"
    code = (
        "import signal, sys\nfrom nni_earlyexit import trial\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from nni_earlyexit.integration import trial_client\n"
        "original = trial_client.run\ntrial_client.run = lambda arguments: original(['600'])\n"
        "sys.argv = ['trial', '--start', 'warm']\ntrial.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "WHAT": "wait", "PIDFILE": str(pidfile)}
    ) as trial:
        until(lambda: pidfile.exists() and pidfile.read_text() != "")
        trial.send_signal(signal.SIGINT)
        assert trial.wait(timeout=60) == -signal.SIGINT  # an exit code would count as a failure
    until(lambda: gone(int(pidfile.read_text())))


@pytest.mark.parametrize(
    ("arguments", "short"),
    [
        ([], False),
        (["--weights", "a"], True),
        (["--weights", "a", "--finetune"], False),
        (["--bank", "b"], True),
        (["--weights", "a", "--start", "cold"], False),
        (["--start", "warm"], True),
    ],
)
def test_trials_of_seconds_are_forked(arguments, short):
    assert parse(arguments).is_short == short


def test_outside_of_nni_there_is_no_server(monkeypatch):
    monkeypatch.delenv("NNI_TRIAL_COMMAND_CHANNEL", raising=False)
    assert not trial_client.is_possible()


def test_what_differs_between_trials_is_not_the_servers(monkeypatch):
    shared = trial_client._shared(
        {"NNI_TRIAL_JOB_ID": "x", "CUDA_VISIBLE_DEVICES": "1", "HOME": "/h", "NNI_EXP_ID": "e"}
    )
    assert shared == {"HOME": "/h", "NNI_EXP_ID": "e"}
