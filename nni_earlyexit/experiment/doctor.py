"""A look at the environment: what an experiment needs, and how to mend what is wrong.

It has to work where little else does, so nothing heavy is imported here: versions come from the packages' metadata, and what
could fail to import is tried in processes of its own.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any

from nni_earlyexit.experiment.environment import environment, programs
from nni_earlyexit.utils.amounts import format_bytes
from nni_earlyexit.utils.checks import check_port, check_writable

DISTRIBUTION = "nni-earlyexit"
SHOWN = ("torch", "torchvision", "timm", "nni", "pytorch-lightning", "setuptools")
"""Packages that have a line of their own even where all is well: their versions have to fit."""
PATIENCE_S = 120
"""Seconds that a program may take to start on a busy machine."""
LITTLE_BYTES, TOO_LITTLE_BYTES = 5e9, 2e8
"""Room on a disk below which a search may, or will, not come to its end."""
IMPORT_TORCH = (
    "import json, torch, torchvision; "
    "print(json.dumps({'gpus': [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())], "
    "'cuda': torch.version.cuda}))"
)
IS_REGISTERED = "from nni_earlyexit.experiment.registration import is_registered; print(is_registered())"


class State(str, Enum):
    """The state of one thing."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: its state, what was seen, and how to mend it where it is not ok."""

    thing: str
    state: State
    seen: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain JSON data."""
        return {**asdict(self), "state": self.state.value}


def examine(port: int = 8080) -> Iterator[Finding]:
    """Look at everything, the quick things first; ``port`` is the one of NNI's web UI."""
    yield python()
    yield from packages()
    yield _possible("port", port_free, port)
    for thing, folder in (("experiments", Path.home() / "nni-experiments"), ("cache", _cache())):
        yield folder_usable(thing, folder)
    yield nnictl()
    yield registered()
    yield from torch()


def python() -> Finding:
    """The version of Python."""
    version = platform.python_version()
    wanted = _own_metadata("Requires-Python")
    if wanted and not _fits(version, wanted):
        return Finding(
            "python", State.BROKEN, f"{version}, and {wanted} is needed", "make an environment of another one"
        )
    return Finding("python", State.OK, f"{version} in {sys.prefix}")


def packages() -> Iterator[Finding]:
    """The packages that this one needs: a line for each whose version does not fit, and for those that matter most."""
    from packaging.requirements import Requirement

    try:
        needed = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        yield Finding(DISTRIBUTION, State.BROKEN, "it is not installed", "run 'pip install nni-earlyexit'")
        return
    for requirement in needed:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        finding = package(requirement.name, str(requirement.specifier))
        if finding.state is not State.OK or requirement.name in SHOWN:
            yield finding


def package(name: str, wanted: str) -> Finding:
    """A package, whose version has to be in ``wanted``, such as ``<81``."""
    install = f"run '{Path(sys.executable).name} -m pip install \"{name}{wanted}\"'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, State.BROKEN, "it is not installed", install)
    if wanted and not _fits(version, wanted):
        why = "; nnictl cannot start with it" if name == "setuptools" else ""
        return Finding(name, State.BROKEN, f"{version}, and {wanted} is needed{why}", install)
    return Finding(name, State.OK, version)


def port_free(port: int) -> Finding:
    """The port of NNI's web UI."""
    try:
        check_port(port)
    except ValueError as error:
        return Finding("port", State.WARNING, str(error).removeprefix("port: "), "choose another one with run --port")
    return Finding("port", State.OK, f"{port} is free")


def folder_usable(thing: str, folder: Path) -> Finding:
    """A folder that is written to: permission, and room on its disk."""
    try:
        check_writable(folder, thing)
    except ValueError as error:
        elsewhere = (
            "NNI_EARLYEXIT_CACHE names another folder" if thing == "cache" else "give yourself the right to write there"
        )
        return Finding(thing, State.BROKEN, str(error).removeprefix(f"{thing}: "), elsewhere)
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(nearest).free
    seen = f"{folder}, {format_bytes(free)} free"
    if free < TOO_LITTLE_BYTES:
        return Finding(thing, State.BROKEN, seen, "free some room: a search stops when its disk is full")
    if free < LITTLE_BYTES:
        return Finding(thing, State.WARNING, seen, "a long search, or large images, may need more room")
    return Finding(thing, State.OK, seen)


def nnictl() -> Finding:
    """NNI's program, and the one that runs its web server."""
    program = programs() / "nnictl"
    if not program.is_file():
        return Finding("nnictl", State.BROKEN, f"it is not in {programs()}", "run 'pip install nni==3.0'")
    done = _run([str(program), "--version"])
    if isinstance(done, str):
        hint = "run 'pip install \"setuptools<81\"'" if "pkg_resources" in done else "run 'pip install nni==3.0'"
        return Finding("nnictl", State.BROKEN, f"it does not start: {done}", hint)
    node = _run([str(_node()), "--version"])
    if isinstance(node, str):
        return Finding(
            "nnictl", State.BROKEN, f"NNI's own Node.js does not start: {node}", "run 'pip install nni==3.0'"
        )
    return Finding(
        "nnictl", State.OK, f"starts; NNI {done.stdout.strip().splitlines()[-1]}, Node.js {node.stdout.strip()}"
    )


def _node() -> Path:
    """The program that runs NNI's manager, which lies in a package of NNI's."""
    files = metadata.files("nni") or ()
    return next(
        (Path(file.locate()) for file in files if file.parts[-2:] == ("nni_node", "node")), Path("nni_node/node")
    )


def registered() -> Finding:
    """The tuner ``EarlyExit`` and the assessor as NNI knows them."""
    done = _python(IS_REGISTERED)
    if isinstance(done, str):
        return Finding("tuner", State.BROKEN, f"NNI cannot be asked: {done}", "mend what is broken above first")
    if done.stdout.split()[-1:] != ["True"]:
        return Finding(
            "tuner", State.BROKEN, "NNI does not know EarlyExit as it is now", "run 'nni-earlyexit register'"
        )
    return Finding("tuner", State.OK, "NNI knows EarlyExit and EarlyExitHalving")


def torch() -> Iterator[Finding]:
    """Torch and torchvision, which have to be made for each other, and GPUs."""
    done = _python(IMPORT_TORCH)
    if isinstance(done, str):
        remedy = "install torch and torchvision together, in versions that belong together: pytorch.org says how"
        yield Finding("import torch", State.BROKEN, done, remedy)
        return
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    yield Finding("import torch", State.OK, "torch and torchvision go together")
    yield gpu(report["gpus"], report["cuda"], _has_driver())


def gpu(names: Sequence[str], cuda: str | None, has_driver: bool) -> Finding:
    """The GPUs that torch sees, being made for ``cuda`` or for none, beside a driver that is there or not."""
    if names:
        advice = f"trialGpuNumber: 1 and trialConcurrency: {len(names)} in the experiment file use them"
        return Finding("gpu", State.OK, f"{', '.join(names)}; {advice}")
    if has_driver:
        seen = "there is one, and torch " + ("does not see it" if cuda else "is made for the CPU alone")
        return Finding("gpu", State.WARNING, seen, "install the torch for its CUDA: pytorch.org says how")
    return Finding("gpu", State.OK, "none; trials use the CPU")


def _has_driver() -> bool:
    return shutil.which("nvidia-smi") is not None and Path("/dev/nvidiactl").exists()


def _cache() -> Path:
    try:
        from nni_earlyexit.data import cache
    except ImportError:  # numpy is missing, and its own line says so
        return Path.home() / ".cache" / "nni-earlyexit"
    return cache.folder()


def _possible(thing: str, look: Callable[..., Finding], *arguments: Any) -> Finding:
    try:
        return look(*arguments)
    except OSError as error:
        return Finding(thing, State.BROKEN, str(error), "the system refuses it")


def _own_metadata(name: str) -> str:
    try:
        return str(metadata.metadata(DISTRIBUTION)[name] or "")
    except (metadata.PackageNotFoundError, KeyError):
        return ""


def _fits(version: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def _python(code: str) -> subprocess.CompletedProcess[str] | str:
    return _run([sys.executable, "-W", "ignore", "-c", code])


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | str:
    """A program that has ended well, or the last line of what it said."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment(), timeout=PATIENCE_S, check=False, cwd=os.sep
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        return said[-1] if said else f"it ended with exit code {done.returncode}"
    return done
