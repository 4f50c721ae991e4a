"""Results that a benchmark keeps as lines of JSON, so that a run can be interrupted and what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nni_earlyexit.utils.progress import say


def kept(results: Path, key: list[Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The line of ``results`` with this ``key``; where there is none, what ``make`` gives, which is added."""
    lines = results.read_text().splitlines() if results.is_file() else []
    line = next((line for line in map(json.loads, lines) if line["key"] == key), None)
    if line is None:
        line = {"key": key, **make()}
        with results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        say(json.dumps(line))
    return dict(line)
