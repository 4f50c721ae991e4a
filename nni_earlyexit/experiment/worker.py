"""A worker's answer to the question about itself, before a search: ``python -m nni_earlyexit.experiment.worker``.

It reads a JSON list of files, which may be too long for a command line, and prints one line of JSON: what results are made with
there, the checksum of the package's own files, and that of each file, or ``null`` where it is not there. That of a folder is of
the names and sizes of its files, for it may be a terabyte.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nni_earlyexit.utils.files import checksum, checksum_of_names
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.provenance import made_with

PARTS = ("nni_earlyexit", "nni_earlyexit.search_spaces", "nni_earlyexit.strategies")
"""The package and its parts that lie elsewhere in a checkout."""


def about(files: Sequence[str]) -> dict[str, Any]:
    """Versions, machine, whether there is pip, and checksums: of the package, and of ``files``, or folders, by their names."""
    return {
        "made_with": made_with(),
        "sources": _sources(),
        "pip": find_spec("pip") is not None,
        "checksums": {name: _checksum(expanded(name)) for name in files},
    }


def _sources() -> str:
    """SHA-256 of all files of the package that this is, in hexadecimal digits, wherever its parts lie."""
    own: dict[str, Path] = {}
    for package in PARTS:
        spec = find_spec(package)
        assert spec is not None
        for place in map(Path, spec.submodule_search_locations or ()):
            paths = (path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
            own |= {f"{package.replace('.', '/')}/{path.relative_to(place).as_posix()}": path for path in paths}
    digest = hashlib.sha256()
    for name in sorted(own):
        digest.update(f"{name}\0{checksum(own[name])}\n".encode())
    return digest.hexdigest()


def _checksum(path: Path) -> str | None:
    try:
        return checksum_of_names(path) if path.is_dir() else checksum(path)
    except OSError:
        return None


if __name__ == "__main__":
    print(json.dumps(about(json.load(sys.stdin))))
