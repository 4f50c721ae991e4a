"""The environment that NNI's programs are started in."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def programs() -> Path:
    """The folder of this environment's programs."""
    return Path(sys.executable).parent


def environment() -> dict[str, str]:
    """Variables for NNI and all that it starts: this environment's programs come first, and the manager's web server,
    which has no login, listens on loopback only."""
    options = os.environ.get("NODE_OPTIONS", "")
    require = f'--require "{Path(__file__).with_name("loopback.js")}"'
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(programs()), os.environ.get("PATH", "")]),
        "NODE_OPTIONS": options if require in options else f"{options} {require}".strip(),
    }
