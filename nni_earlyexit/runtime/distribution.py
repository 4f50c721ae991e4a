"""The small distribution for devices: ``python -m nni_earlyexit.runtime.distribution OUT`` builds its wheel.

``nni-earlyexit-runtime`` holds what runs an exported network, and needs numpy and onnxruntime, neither torch nor NNI. Its
modules have the names that they have here, so the same code runs with either; an environment takes one of the two.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from nni_earlyexit.utils.errors import exits_with_one_sentence

PACKAGE = Path(__file__).parents[1]
MODULES = (
    "__init__.py",
    "__init__.pyi",
    "_finder.py",
    "runtime/__init__.py",
    "runtime/__init__.pyi",
    "runtime/bundle.py",
    "runtime/onnx_predictor.py",
    "runtime/preparing.py",
    "runtime/routing.py",
    "runtime/share_test.py",
    "runtime/watch.py",
    "thresholds/__init__.py",
    "thresholds/__init__.pyi",
    "thresholds/confidence.py",
    "thresholds/learned_confidence.py",
    "thresholds/operating_point.py",
    "thresholds/policy.py",
    "thresholds/policy_front.py",
    "utils/__init__.py",
    "utils/amounts.py",
    "utils/checks.py",
    "utils/files.py",
    "utils/optional.py",
    "utils/options.py",
    "utils/tables.py",
)
PROJECT = """\
[build-system]
requires = ["setuptools>=64,<81"]
build-backend = "setuptools.build_meta"

[project]
name = "nni-earlyexit-runtime"
version = "{version}"
description = "Runs early-exit networks that nni-earlyexit exported, with numpy and onnxruntime alone"
license = {{text = "MIT"}}
requires-python = ">=3.10,<3.14"
dependencies = ["numpy >=1.26", "onnxruntime >=1.20", "lazy-loader >=0.4"]

[tool.setuptools]
packages = ["nni_earlyexit", "nni_earlyexit.runtime", "nni_earlyexit.thresholds", "nni_earlyexit.utils"]

[tool.setuptools.package-data]
"*" = ["*.pyi"]
"""


def build(out: Path) -> Path:
    """Build the wheel and put it into the folder ``out``; its file."""
    out.mkdir(parents=True, exist_ok=True)
    own = version("nni-earlyexit")
    with tempfile.TemporaryDirectory() as scratch:
        source, built = Path(scratch) / "source", Path(scratch) / "built"
        for name in MODULES:
            (source / "nni_earlyexit" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PACKAGE / name, source / "nni_earlyexit" / name)
        (source / "pyproject.toml").write_text(PROJECT.format(version=own))
        words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built), str(source)]
        done = subprocess.run([sys.executable, "-m", *words], check=False)
        if done.returncode:
            raise OSError(f"pip: it ended with exit code {done.returncode}; what it said is above")
        (wheel,) = built.glob("*.whl")
        shutil.move(wheel, out / wheel.name)
    return out / wheel.name


def main() -> None:
    """Build the wheel into the folder that the command line names."""
    if len(sys.argv) != 2:
        raise ValueError("OUT: one folder is wanted, into which the wheel is put")
    print(build(Path(sys.argv[1])))


if __name__ == "__main__":
    exits_with_one_sentence(main)()
