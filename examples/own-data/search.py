"""A folder of images is looked through and searched for early-exit networks.

    python examples/own-data/search.py PATH

``PATH`` holds image files in folders of their classes; without it, scikit-learn's digits are written as PNG files first.
Each step is a command of nni-earlyexit, which is printed.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

EXPERIMENT = Path(__file__).with_name("experiment.yml")
SPACE = ("mobilenetv3", "halvings=5")
SUSPICIOUS = 1
"""Exit code of ``data check`` for data that can be used, but hold something to look at."""


def main() -> None:
    """Check the images, write the search space for them, search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "images", type=Path, nargs="?", help="folder of images; without it, digits are written as images"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("own-data"), help="folder for all that comes out (own-data)"
    )
    parser.add_argument("--port", type=int, default=8080, help="port of NNI's web UI (8080)")
    parser.add_argument("--quick", action="store_true", help="four trials of two epochs, to see that it works")
    arguments = parser.parse_args()
    results = arguments.results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    images = arguments.images.resolve() if arguments.images else write_digits(results / "images")
    data = f"folder:{images}"

    command("data", "check", data, right=(0, SUSPICIOUS))
    experiment = shutil.copy(EXPERIMENT, results)
    command("space", *SPACE, "--data", data, output=results / "search_space.json")
    quick = ["--quick"] if arguments.quick else []
    options = shlex.join(["--data", data])
    command(
        "run", experiment, *quick, "--port", str(arguments.port), "--results", str(results), "--trial-options", options
    )


def write_digits(folder: Path) -> Path:
    """Write scikit-learn's digits as ``folder/CLASS/NUMBER.png`` of 32 x 32 pixels, unless they are there; the folder."""
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = folder / str(label) / f"{number:04}.png"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 255 / 16).astype("uint8")).resize((32, 32), Image.Resampling.BICUBIC).save(file)
    return folder


def command(*words: str, right: tuple[int, ...] = (0,), output: Path | None = None) -> None:
    """Run ``nni-earlyexit`` with these words, with a file for what it prints if ``output`` names one."""
    print(f"\n$ nni-earlyexit {shlex.join(words)}{f' > {output}' if output else ''}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "nni_earlyexit.cli", *words],
        stdout=subprocess.PIPE if output else None,
        text=True,
        check=False,
    )
    if done.returncode not in right:
        sys.exit(done.returncode)
    if output:
        output.write_text(done.stdout)


if __name__ == "__main__":
    main()
