"""The package imports in all four cases: editable or ordinary install, started in the checkout or elsewhere.

The ordinary install is that of a wheel which is made from the source distribution, as someone gets it who has no checkout.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email import message_from_bytes
from email.message import Message
from importlib.metadata import packages_distributions
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
assert all((package / name).is_file() for name in ("algorithm.yml", "py.typed", "__init__.pyi"))
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
def source(tmp_path_factory):
    """The source distribution, unpacked: what building leaves beside the sources does not touch the checkout."""
    folder = tmp_path_factory.mktemp("source")
    subprocess.run(["git", "checkout-index", "--all", f"--prefix={folder}/checkout/"], cwd=CHECKOUT, check=True)
    make = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    run(sys.executable, "-W", "ignore", "-c", make, cwd=folder / "checkout")
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="session")
def wheel(source):
    """The wheel that is made from the source distribution alone."""
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(source.parent), str(source)]
    run(sys.executable, "-m", "pip", *words, cwd=source)
    (built,) = source.parent.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def ordinary(tmp_path_factory, wheel):
    """An environment with an ordinary install, which borrows its dependencies from the one that the tests run in."""
    folder = tmp_path_factory.mktemp("ordinary")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    target = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip()
    )
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel), cwd=folder)
    (target / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python, target


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(source, wheel):
    checkout = source.parent / "checkout"
    parts = {"nni_earlyexit": "nni_earlyexit"} | {
        name: f"nni_earlyexit/{name}" for name in ("search_spaces", "strategies")
    }
    files = {
        f"{place}/{path.relative_to(checkout / folder)}"
        for folder, place in parts.items()
        for path in (checkout / folder).rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files


@pytest.mark.slow
def test_the_source_distribution_can_be_tested_and_documented(source):
    for name in (
        "Makefile",
        "constraints.txt",
        "mkdocs.yml",
        "docs/index.md",
        "tests/conftest.py",
        "examples/digits/search.py",
    ):
        assert (source / name).exists(), name


@pytest.mark.slow
def test_the_wheel_says_what_it_is_and_asks_for_all_that_it_imports(wheel):
    said = distribution_of(wheel)
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload().startswith("# nni-earlyexit")
    assert "Typing :: Typed" in said.get_all("Classifier")
    assert set(said.get_all("Provides-Extra")) >= {"docs", "onnx", "pandas", "serve"}

    asked = {normal(re.split(r"[^\w.-]", line)[0]) for line in said.get_all("Requires-Dist")}
    owners = packages_distributions()
    not_asked_for = {
        name
        for name in imported(wheel) - set(sys.stdlib_module_names) - {"nni_earlyexit"}
        if not {normal(owner) for owner in owners.get(name, ())} & asked
    }
    assert not_asked_for == set()


def distribution_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def normal(distribution: str) -> str:
    """PyPI's form of a name, as in PEP 503."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imported(wheel: Path) -> set[str]:
    """The packages that the modules of a wheel import, inside functions too."""
    names = set()
    with zipfile.ZipFile(wheel) as archive:
        for module in archive.namelist():
            if not module.endswith(".py"):
                continue
            for node in ast.walk(ast.parse(archive.read(module))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition(".")[0])
    return names


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
