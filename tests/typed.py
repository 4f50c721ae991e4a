"""The share of expressions whose type is known: ``python tests/typed.py REPORT SHARE``, of mypy's ``--any-exprs-report``.

Fails when it is below ``SHARE`` percent, so that it can only rise.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(report: str, least: str) -> None:
    """Compare the total of the report with the least share."""
    total = next(line for line in (Path(report) / "any-exprs.txt").read_text().splitlines() if "Total" in line)
    share = float(total.split()[-1].removesuffix("%"))
    print(f"{share:.2f}% of expressions have a known type; {least}% is the least")
    if share < float(least):
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
