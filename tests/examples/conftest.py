"""Commands of the examples, given as a reader of their READMEs gives them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from nni_earlyexit.experiment.environment import environment

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def examples() -> Path:
    return EXAMPLES


@pytest.fixture(scope="module")
def run_command(home_of_nnictl: None) -> Callable[..., str]:
    """Run a command in ``folder`` until it ends; what it says. It must end well, or with the exit code ``right``."""

    def run(*command: object, folder: Path, right: int = 0, **variables: str) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=folder, env={**environment(), **variables}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=800, check=False,
        )  # fmt: skip
        print(done.stdout)
        assert done.returncode == right
        return done.stdout

    return run
