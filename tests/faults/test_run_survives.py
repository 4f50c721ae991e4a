"""What may befall ``nni-earlyexit run``: each time nothing is left behind, and the front of what was finished is written."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest
from nni_earlyexit.experiment.manager import Manager
from nni_earlyexit.integration import nni_processes
from nni_earlyexit.integration.trial_guards import MAX_LOG_BYTES
from support import (
    TRIAL,
    eventually,
    free_port,
    launch,
    launch_and_wait_for_a_trial,
    left_behind,
    lines_until,
    listening_addresses,
    nnictl,
    own_space,
    start_program,
    write_config,
)

pytestmark = pytest.mark.nni


@pytest.fixture
def hanging(tmp_path):
    """Write an experiment whose trials of these numbers do ``hang`` for ever; what :func:`launch` needs for it."""

    def write(trials, hang, arguments="", **changes):
        command = f"{TRIAL.format(epochs=1)} {arguments}".replace(" --max-avg-macs 600k", "")
        return {
            "variables": {"PYTHONPATH": str(tmp_path)},
            **own_space(tmp_path, trials, f"while True: {hang}", command),
            **changes,
        }

    return write


def front_of(folder):
    return json.loads((folder / "results" / "front.json").read_text())


def finished(folder):
    return list(folder.glob("nni/_latest/environments/*/trials/*/trial.json"))


def test_a_trial_that_does_not_end_is_stopped_when_the_time_and_the_grace_are_over_and_its_log_has_a_limit(
    tmp_path, hanging
):
    port = free_port()
    experiment = hanging({"1"}, "print('x' * 10_000)", maxTrialNumber=2, maxExperimentDuration="1h")
    process = launch(tmp_path, port, options=["--grace", "3s"], **experiment)
    said = lines_until(process, "1/2 trials, best so far")
    log = next(iter(tmp_path.glob("nni/_latest/environments/*/trials/*/trial.stdout"))).parent.parent
    eventually(lambda: any("the log is cut here" in path.read_text() for path in log.glob("*/trial.log")))
    (manager,) = Manager.all_from(tmp_path / "experiment.yml")
    nnictl("update", "duration", manager.id, "--value", "1s")
    said = "".join([*said, *process.stdout.readlines()])
    assert process.wait() == 0, said
    assert re.search(r"1 trial still runs \d+ s after the limit of 1 s; stopped", said)
    assert front_of(tmp_path)["trials"] == 1
    assert left_behind(tmp_path) == []
    # it is looked at twenty times a second, and a program that does nothing else prints hundreds of megabytes in one
    assert max(path.stat().st_size for path in log.glob("*/trial.log")) < 30 * MAX_LOG_BYTES


@pytest.mark.long
def test_a_trial_whose_time_is_over_fails_with_the_reason(tmp_path, hanging):
    experiment = hanging({"0"}, "time.sleep(1)", "--trial-timeout 5s", maxTrialNumber=1)
    process = launch(tmp_path, free_port(), **experiment)
    said = process.stdout.read()
    assert process.wait() == 1, said
    reason = "nni-earlyexit: trial-timeout: not finished after 5 s; the trial is ended"
    assert re.search(rf"trial \w+ failed: {reason}", said)
    assert "1/1 trials, 1 failed" in said


@pytest.mark.long
def test_a_trial_that_eats_memory_fails_with_the_reason_and_the_search_goes_on(tmp_path, hanging):
    eat = "self.__dict__.setdefault('eaten', []).append(b'x' * 50_000_000); time.sleep(0.02)"
    experiment = hanging({"0"}, eat, "--trial-memory 2G", maxTrialNumber=2)
    process = launch(tmp_path, free_port(), **experiment)
    said = process.stdout.read()
    assert process.wait() == 0, said
    reason = r"nni-earlyexit: trial-memory: 2\.\d+ GB are more than 2 GB; the trial is ended"
    assert re.search(rf"trial \w+ failed: {reason}", said)
    assert "2/2 trials, 1 failed" in said
    assert front_of(tmp_path)["trials"] == 1


def test_a_closed_terminal_stops_the_experiment_and_keeps_every_finished_trial(tmp_path):
    port, process, said = launch_and_wait_for_a_trial(tmp_path)
    assert re.search(r"'nnictl stop \w+' .* 'nni-earlyexit run --attach \w+'", "".join(said), re.DOTALL)
    process.stdout.close()  # nobody reads any more
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait() == 130
    assert left_behind(tmp_path) == []
    assert listening_addresses(port) == set()
    assert front_of(tmp_path)["trials"] == len(finished(tmp_path)) >= 1


def test_after_the_loss_of_run_its_experiment_is_found_and_gone_on_with(tmp_path):
    port, process, _ = launch_and_wait_for_a_trial(tmp_path)
    process.kill()
    process.wait()
    (manager,) = Manager.all_from(tmp_path / "experiment.yml")

    again = start_program(["run", str(tmp_path / "experiment.yml"), "--port", str(port)])
    assert again.stdout.read() == (
        f"nni-earlyexit: config: experiment {manager.id} of {str(tmp_path / 'experiment.yml')!r} still runs on port {port}; "
        f"go on with 'nni-earlyexit run --attach {manager.id}', or end it with 'nnictl stop {manager.id}'\n"
    )
    assert again.wait() == 2

    attached = start_program(["run", "--attach", manager.id])
    said = lines_until(attached, r"/30 trials, best so far")
    os.killpg(attached.pid, signal.SIGTERM)
    said += attached.stdout.readlines()
    assert attached.wait() == 130, "".join(said)
    assert left_behind(tmp_path) == []
    assert front_of(tmp_path)["trials"] == len(finished(tmp_path)) >= 1

    attached = start_program(["run", "--attach", manager.id])
    assert f"nni-earlyexit: experiment that runs on this machine: '{manager.id}' is unknown" in attached.stdout.read()
    assert attached.wait() == 2


@pytest.mark.parametrize(
    "names",
    [pytest.param(("a", "b"), id="of two files"), pytest.param(("a", "a"), id="of one file", marks=pytest.mark.long)],
)
def test_of_two_runs_on_one_port_the_later_one_says_that_it_is_taken_and_the_first_goes_on(tmp_path, names):
    port = free_port()
    configs = {name: write_config(tmp_path / name, trialCommand=TRIAL.format(epochs=1)) for name in names}
    both = [start_program(["run", str(configs[name]), "--port", str(port)]) for name in names]
    eventually(lambda: any(process.poll() is not None for process in both))
    later, first = sorted(both, key=lambda process: process.poll() is None)
    lines_until(first, "/36 trials, best so far")
    os.killpg(first.pid, signal.SIGINT)
    said = later.stdout.read()
    assert later.wait() == 2, said
    taken = f"port: {port} is in use; stop what listens there or choose another one with --port"
    runs = rf"config: experiment \w+ of .* still runs on port {port}; .*"  # where the later one is much later
    assert re.fullmatch(f"nni-earlyexit: ({taken}|{runs})", said.splitlines()[-1])
    assert "Traceback" not in said + first.stdout.read()
    assert first.wait() == 130
    assert left_behind(tmp_path) == []


def test_a_tuner_that_ends_before_it_connects_is_said_at_once_with_its_reason(tmp_path):
    (tmp_path / "broken.py").write_text("raise ImportError('cannot be had')\n")
    tuner = {"className": "broken.Broken", "codeDirectory": str(tmp_path)}
    process = launch(tmp_path, free_port(), tuner=tuner)
    said = process.stdout.read()
    assert process.wait() == 1
    assert "NNI's experiment failed: cannot be had; NNI's manager says: " in said
    assert "The tuner ended with exit code 1 before it connected" in said


@pytest.mark.long
def test_a_tuner_that_needs_longer_than_nnis_ten_seconds_is_waited_for(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\ntime.sleep(12)\nfrom nni_earlyexit.integration.tuner import EarlyExitTuner as Slow\n"
    )
    class_args = {"space": "digits", "max_avg_macs": "600k"}
    tuner = {"className": "slow.Slow", "codeDirectory": str(tmp_path), "classArgs": class_args}
    process = launch(tmp_path, free_port(), trialCommand=TRIAL.format(epochs=1), tuner=tuner, maxTrialNumber=1)
    said = process.stdout.read()
    assert process.wait() == 0, said


def test_a_run_that_is_ended_while_it_starts_leaves_nothing(tmp_path):
    port = free_port()
    assert_ends_while_it_starts(launch(tmp_path, port), port, tmp_path)


def assert_ends_while_it_starts(process, port, folder):
    """End a command as soon as it has started NNI's manager; nothing of either is left."""
    eventually(lambda: any(manager.port == port for manager in nni_processes.managers()))
    os.killpg(process.pid, signal.SIGTERM)
    said = process.stdout.read()
    assert process.wait() == 130, said
    assert "Traceback" not in said
    assert left_behind(folder) == []
    assert listening_addresses(port) == set()


@pytest.mark.long
def test_a_resume_that_is_ended_while_it_starts_leaves_nothing(tmp_path):
    stopped = launch(tmp_path, free_port(), trialCommand=TRIAL.format(epochs=1), maxTrialNumber=100)
    lines_until(stopped, r"1/100 trials")
    os.killpg(stopped.pid, signal.SIGINT)
    stopped.stdout.read()
    assert stopped.wait() == 130
    port, experiment = free_port(), os.path.realpath(next(tmp_path.glob("**/nni/_latest")))
    process = start_program(["resume", experiment, "--port", str(port), "--results", str(tmp_path / "results")])
    assert_ends_while_it_starts(process, port, tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    """A folder of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_ends_the_experiment_with_the_reason_and_the_front(tmp_path, small_disk):
    process = launch(
        tmp_path,
        free_port(),
        trialCommand=TRIAL.format(epochs=1),
        maxTrialNumber=100,
        experimentWorkingDirectory=str(small_disk),
    )
    said = process.stdout.read()
    assert process.wait() == 1, said
    assert re.search(r"NNI's experiment failed: .*SQLITE_FULL|No space left on device", said), said
    assert front_of(tmp_path)["trials"] >= 1
    assert left_behind(tmp_path) == []
