from __future__ import annotations

import re
import subprocess
import sys

import psutil
import pytest
from support import eventually


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


def test_a_trial_that_holds_too_much_memory_ends_and_says_so(tmp_path):
    code, _, said = ended(
        "import threading\ntrial_guards.end_above(300e6)\nheld = b'x' * 400_000_000\nthreading.Event().wait()", tmp_path
    )
    assert code == 1
    reason = r"nni-earlyexit: trial-memory: [\d.]+ [GM]B are more than 300 MB; the trial is ended\n"
    assert re.fullmatch(reason, said)


def test_what_its_children_hold_counts_and_they_end_too(tmp_path):
    code, child, said = ended(
        "import subprocess, sys\ntrial_guards.end_above(300e6)\n"
        "eat = \"import time; held = b'x' * 400_000_000; time.sleep(600)\"\n"
        "child = subprocess.Popen([sys.executable, '-c', eat])\nprint(child.pid, flush=True)\nchild.wait()\n"
        "import threading; threading.Event().wait()",
        tmp_path,
    )
    assert code == 1
    assert "trial-memory" in said
    eventually(lambda: int(child) not in psutil.pids() or psutil.Process(int(child)).status() == psutil.STATUS_ZOMBIE)


def test_what_processes_share_counts_once(tmp_path):
    code, said, errors = ended(
        "import os, signal\nheld = b'x' * 200_000_000\nchildren = []\n"
        "for _ in range(3):\n    children.append(os.fork())\n    if children[-1] == 0: signal.pause()\n"
        "print(trial_guards.held_bytes() < 400e6)\nfor child in children: os.kill(child, signal.SIGKILL); os.waitpid(child, 0)",
        tmp_path,
    )
    assert (code, said, errors) == (0, "True\n", "")


def test_files_that_are_mapped_do_not_count(tmp_path):
    code, said, _ = ended(
        "import mmap\n(folder / 'file').write_bytes(b'x' * 200_000_000)\n"
        "with (folder / 'file').open('rb') as file: mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "print(sum(mapped[::4096]) > 0, trial_guards.held_bytes() < 150e6)",
        tmp_path,
    )
    assert (code, said) == (0, "True True\n")


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
