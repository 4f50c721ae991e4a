"""The versions that setup.cfg admits: for each row an environment of its own, built from nothing, in which the suite runs.

    python tests/compatibility.py [--rows 3.10-oldest 3.13-newest ...] [-- -m "not nni and not slow"]

What stands after ``--`` goes to pytest; without it, all tests run. A row has a result for each of these choices of tests.
Needs ``uv`` (it alone resolves to the oldest versions) and the Python versions on ``PATH``. The last commit is tested, in a
clone. An environment is several GB, and removed when its tests have run. Rows are added to
``benchmarks/results/compatibility.json``; ``--table`` prints what stands there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "compatibility.json"
ROWS = {
    f"{python}-{age}": (python, {"oldest": "lowest-direct", "newest": "highest"}[age])
    for python, age in (
        ("3.10", "oldest"),
        ("3.10", "newest"),
        ("3.11", "newest"),
        ("3.12", "newest"),
        ("3.13", "newest"),
    )
}
"""Python, and how uv chooses what setup.cfg admits. Newer Pythons have no files of the oldest versions."""
SHOWN = ("torch", "torchvision", "timm", "pytorch-lightning", "scikit-learn", "scipy", "numpy", "pymoo", "nni")


def build_and_test(name: str, folder: Path, pytest_arguments: list[str]) -> dict[str, Any]:
    """Build the environment of a row and run the suite in it; what came of it."""
    python, resolution = ROWS[name]
    shutil.rmtree(folder, ignore_errors=True)
    run(["git", "clone", "--quiet", str(ROOT), str(folder)], ROOT)
    binaries = folder / ".venv" / "bin"
    run(
        ["uv", "venv", "--seed", "--quiet", "--python", python, str(binaries.parent)], folder
    )  # NNI calls pip on workers
    start = time.monotonic()
    python_of_row = ["--python", str(binaries / "python"), "--compile-bytecode"]  # else, each process may compile torch
    run(["uv", "pip", "install", "--quiet", *python_of_row, "--resolution", resolution, "--editable", ".[dev]"], folder)
    run([str(binaries / "nni-earlyexit"), "register"], folder)
    built = time.monotonic()
    (binaries.parent / ".installed").touch()
    report = folder / "report.xml"
    command = [str(binaries / "python"), "-m", "pytest", "-p", "no:cacheprovider"]
    command += ["--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [*command, f"--junitxml={report}", *pytest_arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        check=False,
    )
    ended = time.monotonic()
    return {
        "python": python,
        "resolution": resolution,
        "versions": versions(binaries / "python"),
        "commit": run(["git", "rev-parse", "--short", "HEAD"], folder).strip(),
        "pytest": pytest_arguments,
        "install_s": round(built - start),
        "tests_s": round(ended - built),
        **counts(report),
    }


def run(command: list[str], folder: Path) -> str:
    """The output of a command that must succeed."""
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout


def versions(python: Path) -> dict[str, str]:
    """The versions of the packages that are shown."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    return dict(json.loads(run([str(python), "-c", code, *SHOWN], ROOT)))


def counts(report: Path) -> dict[str, Any]:
    """How many tests passed, failed and were skipped, and the names of those that failed."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {
        "passed": len(cases) - len(failed) - skipped,
        "skipped": skipped,
        "failed": [f"{case.get('classname')}.{case.get('name')}" for case in failed],
    }


def table(rows: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = ["| Python | " + " | ".join(SHOWN) + " | tests | passed | failed |", "| --- " * (len(SHOWN) + 4) + "|"]
    for row in rows.values():
        tests = f"`{' '.join(row['pytest'])}`" if row["pytest"] else "all"
        cells = [row["python"], *(row["versions"][name] for name in SHOWN), tests]
        lines.append("| " + " | ".join([*cells, f"{row['passed']:,}", str(len(row["failed"]))]) + " |")
    return "\n".join(lines)


def main() -> int:
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    own, pytest_arguments = sys.argv[1:at], sys.argv[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".cache" / "compatibility", help="where environments are built"
    )
    parser.add_argument("--keep", action="store_true", help="the environments")
    parser.add_argument("--table", action="store_true", help="only print what stands in the results")
    given = parser.parse_args(own)
    stored: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in [] if given.table else given.rows:
        print(f"{name}: installing", flush=True)
        stored[" ".join([name, *pytest_arguments])] = build_and_test(name, given.folder / name, pytest_arguments)
        RESULTS.write_text(json.dumps({row: stored[row] for row in sorted(stored)}, indent=1) + "\n")
        if not given.keep:
            shutil.rmtree(given.folder / name)
    print(table(stored))
    return 1 if any(row["failed"] for row in stored.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
