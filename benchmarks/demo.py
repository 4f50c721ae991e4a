"""What `make demo` finds and how long it takes.

    python benchmarks/demo.py [front.json]

Runs the experiment of the digits example (or reads the front.json of a run) and says which networks of the front keep
their test accuracy at a part of their own full cost.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

GOALS = ((0.97, 0.60), (0.95, 0.40))
"""Test accuracy, and average MACs as a share of the network's own full cost."""


def main(front: str | None = None) -> bool:
    if front is None:
        from nni_earlyexit.experiment.run import run

        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as results:
            example = Path(__file__).parents[1] / "examples" / "digits" / "experiment.yml"
            run(example, port=8080, results=Path(results))
            members = json.loads((Path(results) / "front.json").read_text())["front"]
        print(f"{time.perf_counter() - start:.0f} s from the check of the experiment file to the stopped experiment")
    else:
        members = json.loads(Path(front).read_text())["front"]
    met = True
    for accuracy, share in GOALS:
        fitting = [m for m in members if m["test"]["avg_macs"] <= share * m["full_macs"]]
        best = max((m["test"]["accuracy"] for m in fitting), default=0.0)
        met &= best >= accuracy
        print(
            f"{len(fitting)} of {len(members)} networks use <= {share:.0%} of their own full cost; "
            f"best test accuracy among them {best:.4f} (goal {accuracy})"
        )
    return met


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
