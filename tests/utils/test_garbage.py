from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAMS = {
    "command line": "sys.argv = ['nni-earlyexit', '--version']; from nni_earlyexit.cli.main import main; main()",
    "trial": "sys.argv = ['trial', '--help']; from nni_earlyexit.trial import main; main()",
    "tuner": "from nni_earlyexit.integration.tuner import EarlyExitTuner; EarlyExitTuner(space='digits', max_avg_macs='600k')",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))
def test_programs_look_for_garbage_less_often_and_an_import_changes_nothing(program):
    code = f"""
import gc, sys
before = gc.get_threshold()
import nni_earlyexit, nni_earlyexit.trial, nni_earlyexit.cli.main, nni_earlyexit.integration.trial_server
assert gc.get_threshold() == before
try:
    {program}
except SystemExit:
    pass
assert gc.get_threshold()[0] > 100 * before[0], gc.get_threshold()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
