"""The code of the guides runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import command_line
import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.data import registry
from nni_earlyexit.thresholds import confidence

pytestmark = pytest.mark.slow  # each runs programs of its own

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


def code(guide: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (GUIDES / guide).read_text(), flags=re.M | re.S)


@pytest.fixture(scope="module")
def own_space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "my").mkdir()
    (folder / "my" / "tiny.py").write_text(code("own-space.md")[0])
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=600, check=False,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_a_space_of_ones_own_takes_about_thirty_lines():
    assert len([line for line in code("own-space.md")[0].splitlines() if line]) <= 35


def test_a_space_of_ones_own_is_used_as_the_guide_says(own_space):
    done = run(own_space, "-c", code("own-space.md")[1])
    assert done.returncode == 0, done.stderr
    assert "networks; " in done.stdout


def test_a_space_of_ones_own_is_found_by_its_module_and_keeps_its_constraint(own_space):
    check = """
import numpy as np
from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.space.search_domain import domain
from nni_earlyexit.search.limits import Limits
space = search_spaces.create("my.tiny/1 max_exits=1")
assert space.identity() == "my.tiny/1 max_exits=1"
strategy = strategies.create("nsga2", seed=0, population_size=5)
strategy.start(domain(space, Limits()))
for i in range(60):
    sample = strategy.ask()
    assert space.violation(sample) is None, sample
    assert sample["stage1_depth"] <= sample["stage2_depth"]
    strategy.tell(sample, {"accuracy": i / 60, "avg_macs": space.exit_costs(sample)[-1]})
bad = {**sample, "stage1_depth": 3, "stage2_depth": 1}
try:
    space.freeze(bad)
except ValueError as error:
    print(error)
"""
    done = run(own_space, "-c", check)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "sample: stage1 is deeper than stage2, which space my.tiny/1 max_exits=1 does not allow\n"


def test_its_search_space_file_comes_from_the_command(own_space):
    done = run(own_space, "-m", "nni_earlyexit.cli", "space", "my.tiny", "max_exits=1")
    assert done.returncode == 0, done.stderr
    assert '"my.tiny/1 max_exits=1"' in done.stdout


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my.other", "space: 'my.other' cannot be imported: No module named 'my.other'; is its folder on PYTHONPATH?"),
        ("os.path", "space: the module 'os.path' has no class Space"),
    ],
)
def test_a_module_that_is_no_space_is_refused_in_one_sentence(own_space, name, sentence):
    done = run(own_space, "-m", "nni_earlyexit.cli", "space", name)
    assert (done.returncode, done.stderr) == (2, f"nni-earlyexit: {sentence}\n")


def test_the_code_about_cutoffs_runs_and_its_commands_exist(monkeypatch, capsys):
    monkeypatch.setattr(confidence, "MEASURES", dict(confidence.MEASURES))
    names: dict[str, object] = {}
    for block in code("thresholds.md"):
        exec(block, names)
    assert names["safe"].certificate_.certified > 0
    assert "optimism None" in capsys.readouterr().out
    commands = command_line.lines((GUIDES / "thresholds.md").read_text())
    assert len(commands) == 3
    for line in commands:
        command_line.check_line(line)


def test_the_guide_to_strategies_runs_as_it_stands(tmp_path):
    searched, own = code("strategies.md")
    done = run(tmp_path, "-c", searched + "assert len(strategy.front()) == 1\n")
    assert done.returncode == 0, done.stderr
    use = """
from nni_earlyexit.search.domain import Domain
strategy = Strategy()
strategy.start(Domain({"a": list(range(5)), "b": list(range(5))}))
for _ in range(25):
    sample = strategy.ask()
    strategy.tell(sample, {"accuracy": sample["a"] / 5, "avg_macs": 1 + sample["b"]})
"""
    done = run(tmp_path, "-c", own + use)
    assert done.returncode == 0, done.stderr


def test_the_spaces_that_the_guide_writes_down_can_be_made():
    blocks = re.findall(r"^```\n(.*?)^```", (GUIDES / "spaces.md").read_text(), flags=re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        assert search_spaces.create(line).size() > 1
    assert search_spaces.find("mobilenetv3").nearest_resolution(28) == 32


def test_trainings_of_ones_own_train_as_the_guide_says():
    from nni_earlyexit import EarlyExitEvaluator

    space = search_spaces.create("digits")
    names: dict[str, object] = {}
    for block in code("training.md"):
        exec(block, names)
    for name in ("train", "train_with_margins"):
        result = EarlyExitEvaluator(epochs=3, train=names[name]).evaluate(space.freeze(space.cheapest(exit=-1)[0]))
        assert result.metrics["accuracy"] > 0.5, name
        assert result.metrics["epochs"] == 3


def test_the_guide_to_data_runs_as_it_stands_and_names_every_kind(tmp_path):
    (own,) = code("data.md")
    done = run(tmp_path, "-c", own)
    assert done.returncode == 0, done.stderr
    text = (GUIDES / "data.md").read_text()
    for name in registry.names().values():
        assert f"`{name}`" in text
    commands = command_line.lines(text)
    assert len(commands) == 2
    for line in commands:
        command_line.check_line(line)


@pytest.mark.parametrize("guide", ["exits.md", pytest.param("supernet.md", marks=pytest.mark.long)])
def test_guides_to_weights_that_are_trained_once_run_as_they_stand(guide, tmp_path):
    (own,) = code(guide)
    done = run(tmp_path, "-c", own)
    assert done.returncode == 0, done.stderr
    commands = command_line.lines((GUIDES / guide).read_text())
    assert len(commands) >= 2
    for line in commands:
        command_line.check_line(line)
