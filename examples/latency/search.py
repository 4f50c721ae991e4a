"""A table of times is measured on this machine, and networks are searched that are accurate and fast by it.

    python examples/latency/search.py

Each step is a command of nni-earlyexit, which is printed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

EXPERIMENT = Path(__file__).with_name("experiment.yml")


def main() -> None:
    """Measure, search, print the predicted times of the front."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-ms", type=float, help="most milliseconds of an input on average")
    parser.add_argument("--results", type=Path, default=Path("latency"), help="folder for all that comes out (latency)")
    parser.add_argument("--port", type=int, default=8080, help="port of NNI's web UI (8080)")
    parser.add_argument("--quick", action="store_true", help="four trials of two epochs, to see that it works")
    arguments = parser.parse_args()
    results = arguments.results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    table = results / "latency.json"

    command("latency", "digits", "--output", str(table))
    options = ["--latency-table", str(table)]
    if arguments.max_ms is not None:
        options += ["--max-latency-s", str(arguments.max_ms / 1e3)]
    quick = ["--quick"] if arguments.quick else []
    where = ["--port", str(arguments.port), "--results", str(results)]
    command("run", str(EXPERIMENT), *quick, *where, "--trial-options", shlex.join(options))
    print("\nms by the table, as trained")
    for member in json.loads((results / "front.json").read_text())["front"]:
        trial = json.loads((Path(member["trial_folder"]) / "trial.json").read_text())
        average, whole = (1e3 * trial["metrics"][name] for name in ("latency_s", "full_latency_s"))
        print(f"{average:.2f} on average, {whole:.2f} to the last exit: {member['architecture']}")


def command(*words: str) -> None:
    """Run ``nni-earlyexit`` with these words; where it fails, so does this."""
    print(f"\n$ nni-earlyexit {shlex.join(words)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "nni_earlyexit.cli", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
