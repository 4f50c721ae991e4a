"""Someone who has only a data set gets as far as the page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import command_line
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "start" / "data-only.md").read_text()


def run(folder: Path, *words: str) -> str:
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_page_for_those_who_have_only_data_leads_to_an_experiment_that_can_be_run(tmp_path):
    (pictures,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    run(tmp_path, "-c", pictures)
    assert len(list(tmp_path.rglob("*.png"))) == 1797

    lines = {shlex.split(line)[1]: line for line in command_line.lines(PAGE)}
    run(tmp_path, "-m", "nni_earlyexit.cli", *shlex.split(lines["init"])[1:])
    assert f"--data folder:{tmp_path / 'photos'}" in (tmp_path / "experiment.yml").read_text()
    checked = run(tmp_path, "-m", "nni_earlyexit.cli", "check", "experiment.yml")
    assert checked.splitlines()[-1] == "experiment.yml can be run"
