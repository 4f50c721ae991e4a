"""What the README shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import command_line
import numpy as np
import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation.one_network import choose_sample, train_one
from nni_earlyexit.training.settings import Settings
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_its_python_runs(tmp_path):
    of_files, in_nni, by_hand = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    prepare, run, nothing = in_nni.partition("experiment.run()")
    assert run
    assert nothing.strip() == ""
    names = {}
    exec(prepare.replace("epochs=12", "epochs=1") + by_hand, names)
    assert names["result"].metrics["feasible"] in (0, 1)
    assert names["logits"].shape == (len(names["images"]), 10)
    assert np.isin(names["exits"], range(len(names["network"].exit_costs))).all()

    space = search_spaces.create("digits")
    train_one(space, choose_sample(space, "smallest", 0), Settings.from_options(epochs=2), tmp_path, lambda line: None)
    exec(of_files.replace("trained", str(tmp_path)), names)
    assert (names["answers"].classes.numpy() == load_digits().target).mean() > 0.5


def test_its_commands_exist():
    lines = command_line.lines(README)
    assert len(lines) >= 2
    for line in lines:
        command_line.check_line(line)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/architecture.md",
        "docs/nni.md",
        "docs/results.md",
        "docs/guides/thresholds.md",
        "docs/guides/spaces.md",
        "docs/guides/data.md",
        "docs/guides/training.md",
        "examples/browser/README.md",
        "examples/cifar10/README.md",
        "examples/serve/README.md",
    ],
)
def test_its_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target


def test_files_that_the_architecture_names_exist():
    for name in re.findall(r"`([a-z_/]+\.py)`", (ROOT / "docs" / "architecture.md").read_text()):
        assert (ROOT / name).exists() or any((ROOT / "nni_earlyexit").rglob(name)), name
