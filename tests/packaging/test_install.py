"""The package imports in all four cases: editable or ordinary install, started in the checkout or elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

LOOK = """
import nni_earlyexit, nni_earlyexit.profiling
from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.integration import tuner
import pathlib
print(pathlib.Path(nni_earlyexit.__file__).parent)
assert "digits" in search_spaces.names() and "nsga2" in strategies.names()
strategies.create("nsga2")
package = pathlib.Path(nni_earlyexit.__file__).parent
files = ("algorithm.yml", "experiment/loopback.js", "experiment/tuner_wait.js", "py.typed", "__init__.pyi")
assert all((package / name).is_file() for name in files)
search_spaces.create("digits")
# a checkout has folders of other names beside the package, which are no part of it
import importlib.util
for other in ("tests", "benchmarks", "docs", "nni_earlyexit"):
    assert importlib.util.find_spec(f"nni_earlyexit.{other}") is None, other
"""


def run(python, *arguments, cwd, check=True):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([str(python), *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=check)


@pytest.fixture(scope="session")
def ordinary(tmp_path_factory):
    """An environment with an ordinary install, which borrows its dependencies from the one that the tests run in."""
    folder = tmp_path_factory.mktemp("ordinary")
    source = folder / "source"
    # a copy: building leaves files beside the sources
    subprocess.run(["git", "checkout-index", "--all", f"--prefix={source}/"], cwd=CHECKOUT, check=True)
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    target = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip()
    )
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
        str(source),
    ]
    run(sys.executable, *install, cwd=folder)
    (target / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python, target


@pytest.mark.slow
@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_ordinary_install_imports(ordinary, place, tmp_path):
    python, target = ordinary
    found = run(python, "-W", "ignore", "-c", LOOK, cwd=CHECKOUT if place == "checkout" else tmp_path)
    assert found.stdout.strip() == str((CHECKOUT if place == "checkout" else target) / "nni_earlyexit")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_editable_install_imports(place, tmp_path):
    found = run(sys.executable, "-W", "ignore", "-c", LOOK, cwd=CHECKOUT if place == "checkout" else tmp_path)
    assert found.stdout.strip() == str(CHECKOUT / "nni_earlyexit")


@pytest.mark.parametrize("kind", ["editable", pytest.param("ordinary", marks=pytest.mark.slow)])
@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_trial_process_starts(request, kind, place, tmp_path):
    python = sys.executable if kind == "editable" else request.getfixturevalue("ordinary")[0]
    cwd = CHECKOUT if place == "checkout" else tmp_path
    alone = run(python, "-W", "ignore", "-m", "nni_earlyexit.trial", cwd=cwd, check=False)
    # outside an experiment it can only say so
    assert alone.returncode == 2
    assert "start this through an NNI experiment" in alone.stderr
