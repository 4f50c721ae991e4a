"""The example of a project that gets exits: both versions run, and the README shows what is different."""

from __future__ import annotations

import difflib
import shutil
import sys
from pathlib import Path

import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation import network_front
from support import free_port

FILES = ("search.py", "project/space.py", "project/training.py")
TRIALS, EPOCHS = 2, 1


def difference(folder: Path) -> str:
    """What ``diff -ru before after`` prints, with a line of context and without times."""
    lines = []
    for name in FILES:
        names = [f"{version}/{name}" for version in ("before", "after")]
        texts = [(folder / file).read_text().splitlines() for file in names]
        lines += difflib.unified_diff(*texts, *names, n=1, lineterm="")
    return "\n".join(lines)


def test_the_readme_shows_what_is_different(examples):
    folder = examples / "existing-pipeline"
    assert f"```diff\n{difference(folder)}\n```" in (folder / "README.md").read_text()


def searched(folder: Path, run_command, tmp_path: Path) -> tuple[str, Path]:
    """A quick search of one version: what it says, and the folder of its experiment."""
    project = shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    arguments = (TRIALS, EPOCHS, free_port())
    said = run_command(sys.executable, "search.py", *arguments, folder=project, HOME=str(tmp_path))
    return said, next((tmp_path / "nni-experiments").glob("*/db")).parent


@pytest.mark.nni
@pytest.mark.slow
def test_the_project_runs_before(examples, run_command, tmp_path):
    said, _ = searched(examples / "existing-pipeline" / "before", run_command, tmp_path)
    assert said.count("{'stage0_depth': ") == TRIALS, said


@pytest.mark.nni
@pytest.mark.slow
def test_the_project_has_exits_after(examples, run_command, tmp_path, monkeypatch):
    folder = examples / "existing-pipeline" / "after"
    said, experiment = searched(folder, run_command, tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    search_spaces.create("project.space")  # names it, which allows it
    trials = network_front.finished(experiment)
    assert len(trials) == TRIALS, said
    for trial in trials:
        assert trial.metrics["full_macs"] == search_spaces.create("project.space").exit_costs(trial.sample)[-1]
        assert 0 < trial.metrics["avg_macs"] <= trial.metrics["full_macs"]
    assert "'exit0_present': " in said
