"""The environment that NNI's programs are started in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from nni_earlyexit.integration.nni_processes import FILE_VARIABLE, STARTER_VARIABLE

PATCHES = ("loopback.js", "tuner_wait.js", "few_axes.js", "workers_return.js")
"""Files that NNI's manager loads first, each with its reason."""

LOOPBACK = ("127.0.0.1", "localhost")


def programs() -> Path:
    """The folder of this environment's programs."""
    return Path(sys.executable).parent


def environment(file: Path | None = None, starter: str = "") -> dict[str, str]:
    """Variables for NNI and all that it starts, from the experiment ``file`` if it is given, with a word to find it by.

    This environment's programs come first; the manager's web server, which has no login, listens on loopback only; and
    nothing that is on this machine is asked for through a proxy.
    """
    variables = {
        **os.environ,
        "PATH": os.pathsep.join([str(programs()), os.environ.get("PATH", "")]),
        "NODE_OPTIONS": _with_patches(os.environ.get("NODE_OPTIONS", "")),
    }
    # programs read one of them, in small letters first; only alone does * mean everything
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    if direct != "*":
        direct = ",".join(dict.fromkeys([*filter(None, direct.split(",")), *LOOPBACK]))
    variables["no_proxy"] = variables["NO_PROXY"] = direct
    if file is not None:
        variables |= {FILE_VARIABLE: str(file.resolve()), STARTER_VARIABLE: starter}
    return variables


def _with_patches(options: str) -> str:
    for name in PATCHES:
        require = f'--require "{Path(__file__).with_name(name)}"'
        options = options if require in options else f"{options} {require}".strip()
    return options
