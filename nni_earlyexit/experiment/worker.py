"""A worker's answer to the question about itself, before a search: ``python -m nni_earlyexit.experiment.worker``.

It reads a JSON list of files, which may be too long for a command line, and prints one line of JSON: what results are made with
there, and the checksum of each file, or ``null`` where it is not there. That of a folder is of the names and sizes of its
files, for it may be a terabyte.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nni_earlyexit.utils.files import checksum, checksum_of_names
from nni_earlyexit.utils.provenance import made_with


def about(files: Sequence[str]) -> dict[str, Any]:
    """Versions, commit and machine, whether there is pip, and the checksums of ``files``, or folders, by their names."""
    return {
        "made_with": made_with(),
        "pip": find_spec("pip") is not None,
        "checksums": {name: _checksum(Path(name).expanduser()) for name in files},
    }


def _checksum(path: Path) -> str | None:
    try:
        return checksum_of_names(path) if path.is_dir() else checksum(path)
    except OSError:
        return None


if __name__ == "__main__":
    print(json.dumps(about(json.load(sys.stdin))))
