"""A supernet is trained once, 500 networks take their weights from it in a search, and three of them are trained further.

    python examples/cifar10/with_supernet.py --data folder:PATH

Each step is a command of nni-earlyexit, which is printed; with the same results folder, all of it goes on where it was after
whatever ended it, but for a search that did not come to its end, which begins anew. ``--quick`` shows all of it in 3 minutes
on two cores; its networks have learned next to nothing.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

EXPERIMENT = Path(__file__).with_name("supernet.yml")
SPACE = ("mobilenetv3", "halvings=5")
QUICK = {
    "supernet": ("--epochs", "2", "--batch-size", "128", "--most-inputs", "1000"),
    "run": ("--quick",),
    "trials": ("--most-inputs", "1000"),  # the splits that the supernet has seen
    "finetune": ("--pick", "best:1", "--epochs", "2", "--batch-size", "64"),
}
WHOLE = {
    "supernet": ("--epochs", "18", "--batch-size", "256", "--learning-rate", "0.025"),
    "run": (),
    "trials": (),
    "finetune": ("--pick", "best:3", "--epochs", "20"),
}


def main() -> None:
    """Run the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="folder:PATH, or cifar10, which torchvision reads in ~/data")
    parser.add_argument(
        "--results", type=Path, help="folder for all that comes out (with-supernet, or with-supernet-quick)"
    )
    parser.add_argument("--port", type=int, default=8080, help="port of NNI's web UI (8080)")
    parser.add_argument("--quick", action="store_true", help="three minutes, to see that it works")
    arguments = parser.parse_args()
    options = QUICK if arguments.quick else WHOLE
    data = ["--data", arguments.data]
    if arguments.data == "cifar10":
        data += ["--root", str(Path("~/data").expanduser()), "--download"]
    results = (arguments.results or Path("with-supernet-quick" if arguments.quick else "with-supernet")).resolve()
    weights, searched = results / "supernet.safetensors", results / "experiment.txt"

    results.mkdir(parents=True, exist_ok=True)
    if not weights.is_file():
        command("supernet", *SPACE, *data, *options["supernet"], "--output", str(weights))
    if not searched.is_file():
        taken = shlex.join([*data, *options["trials"], "--weights", str(weights)])
        where = ("--results", str(results), "--port", str(arguments.port))
        command("run", str(EXPERIMENT), *options["run"], *where, "--trial-options", taken)
        searched.write_text(json.loads((results / "front.json").read_text())["experiment"])
    command("finetune", searched.read_text(), *options["finetune"], "--results", str(results))


def command(*words: str) -> None:
    """Run ``nni-earlyexit`` with these words; where it fails, so does this."""
    print(f"\n$ nni-earlyexit {shlex.join(words)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "nni_earlyexit.cli", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
