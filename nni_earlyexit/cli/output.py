"""Tables for people and for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nni_earlyexit.utils.progress import Say, say, say_aside


def progress(as_json: bool, as_csv: bool) -> Say:
    """The place of lines of progress: beside what a program reads. ``ValueError`` for both forms at once."""
    if as_json and as_csv:
        raise ValueError("json: it has no place beside csv; leave one of them out")
    return say_aside if as_json or as_csv else say


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, whole: Any = None) -> None:
    """Print rows as JSON, or as CSV with the names as first line; ``whole`` is what JSON shows in place of the rows.

    In CSV, lists and mappings are cells of JSON.
    """
    if as_json:
        print(json.dumps(list(rows) if whole is None else whole, indent=2, allow_nan=False))
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([json.dumps(v) if isinstance(v := row.get(name), (list, tuple, dict)) else v for name in names])
