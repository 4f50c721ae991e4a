from __future__ import annotations

import subprocess
import sys

import pytest


def ended(code, folder):
    """How a process that runs ``code`` ends, its output going to files as NNI lets it; exit code and both files."""
    with (folder / "trial.stdout").open("w") as out, (folder / "trial.stderr").open("w") as err:
        imports = "from pathlib import Path; from nni_earlyexit.integration import trial_guards"
        script = f"{imports}; folder = Path({str(folder)!r})\n{code}"
        code = subprocess.run([sys.executable, "-c", script], stdout=out, stderr=err, check=False).returncode
    return code, (folder / "trial.stdout").read_text(), (folder / "trial.stderr").read_text()


def test_a_trial_whose_time_is_over_ends_and_says_so(tmp_path):
    code, _, said = ended("import threading; trial_guards.end_after(0.2); threading.Event().wait()", tmp_path)
    assert code == 1
    assert said == "nni-earlyexit: trial-timeout: not finished after 0.2 s; the trial is ended\n"


def test_so_does_one_that_hangs_in_code_that_is_not_python_and_it_shows_where(tmp_path):
    code, _, said = ended(
        "import ctypes\ntrial_guards.LOCKED_UP_S = 0.2\ntrial_guards.end_after(2)\n"
        "def hang(): ctypes.PyDLL(None).sleep(600)  # which keeps every other thread from running\nhang()",
        tmp_path,
    )
    assert code == 1
    assert "Timeout" in said
    assert "in hang" in said


def test_one_that_is_in_time_is_left_alone(tmp_path):
    assert ended("trial_guards.end_after(60); print('done')", tmp_path) == (0, "done\n", "")


CUT = "\n[nni-earlyexit: the log is cut here, as it is longer than 1,000 bytes]\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_log_is_cut_and_says_so_and_what_comes_after_follows(stream, tmp_path):
    code, *logs = ended(
        "import os, sys, time\ntrial_guards.LOOK_S = 0.01\ntrial_guards.cap_logs(folder, 1000)\n"
        f"os.write(sys.{stream}.fileno(), b'first ' + b'x' * 5000)  # at once: it may be cut at any time\n"
        f"while not (folder / 'trial.{stream}').read_text().endswith('bytes]\\n'): time.sleep(0.01)\n"
        f"print('why it failed', file=sys.{stream}, flush=True)",
        tmp_path,
    )
    assert code == 0
    assert logs[stream == "stderr"] == ("first " + "x" * 5000)[:900] + CUT + "why it failed\n"


def test_logs_of_child_processes_are_cut_too(tmp_path):
    code, said, _ = ended(
        "import subprocess, time\ntrial_guards.LOOK_S = 0.01\ntrial_guards.cap_logs(folder, 1000)\n"
        "write = 'dd if=/dev/zero bs=50000 count=1 2>/dev/null; echo >&2 written; read line; echo last'\n"
        "child = subprocess.Popen(['sh', '-c', write], stdin=subprocess.PIPE)\n"
        "while not (folder / 'trial.stderr').read_text(): time.sleep(0.01)\n"
        "while not (folder / 'trial.stdout').read_text().endswith('bytes]\\n'): time.sleep(0.01)\n"
        "child.communicate(b'go\\n')",
        tmp_path,
    )
    assert code == 0
    assert said == "\0" * 900 + CUT + "last\n"
