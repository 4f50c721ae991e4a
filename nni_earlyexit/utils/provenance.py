"""What made a result: the versions, the commit of a checkout, and the machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections import Counter
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("nni-earlyexit", "nni", "torch", "torchvision", "timm", "pytorch-lightning", "numpy", "scikit-learn")
"""Packages whose versions can change a result."""
GIT_S = 10.0
"""Seconds that git has to say which commit this is."""


@cache
def made_with() -> dict[str, str]:
    """Versions of Python and of the packages, the commit if this is a checkout, and the machine, by their names."""
    made = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            made[name] = version(name)
        except PackageNotFoundError:
            continue
    if commit := _commit(Path(__file__).parents[2]):
        made["commit"] = commit
    made["processor"] = processor()
    if gpus := graphics(Path("/proc/driver/nvidia/gpus")):
        made["gpu"] = gpus
    return {**made, "system": f"{platform.system()} {platform.machine()}"}


def processor() -> str:
    """The processor of this machine, and how many cores it has."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        model = re.search(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE)
        name = " ".join(model[1].split()) if model else name
    return f"{name}, {os.cpu_count()} cores"


def graphics(folder: Path) -> str:
    """The GPUs of this machine by what NVIDIA's driver says in ``folder``, such as ``2 x NVIDIA H200``; nothing without any."""
    models: Counter[str] = Counter()
    for path in sorted(folder.glob("*/information")):
        with suppress(OSError):
            if model := re.search(r"^Model:\s*(.*)$", path.read_text(errors="replace"), re.MULTILINE):
                models[" ".join(model[1].split())] += 1
    return ", ".join(f"{count} x {model}" for model, count in models.items())


def _commit(checkout: Path) -> str:
    """The commit of ``checkout``, with ``-dirty`` where files differ from it; nothing where it is none, or git is not here."""
    if not (checkout / ".git").exists():
        return ""
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
