"""Sentences are searched for early-exit networks that classify them.

    python examples/text/search.py PATH

``PATH`` is a file with one ``sentence<TAB>label`` a line, or a folder with ``train.tsv``, ``test.tsv`` and perhaps ``dev.tsv``.
Without it, 1,200 sentences are made up. Each step is a command of nni-earlyexit, which is printed.
"""

from __future__ import annotations

import argparse
import random
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

EXPERIMENT = Path(__file__).with_name("experiment.yml")
SPACE = ("text",)
SMALL_SPACE = ("text", "tokens=12", "channels=32", "vocabulary=256")
"""For the sentences that are made up."""
SUSPICIOUS = 1
"""Exit code of ``data check`` for data that can be used, but hold something to look at."""


def main() -> None:
    """Check the sentences, write the search space for them, search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", type=Path, nargs="?", help="file or folder; without it, sentences are made up")
    parser.add_argument("--results", type=Path, default=Path("text"), help="folder for all that comes out (text)")
    parser.add_argument("--port", type=int, default=8080, help="port of NNI's web UI (8080)")
    parser.add_argument("--quick", action="store_true", help="four trials of two epochs, to see that it works")
    arguments = parser.parse_args()
    results = arguments.results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    if arguments.sentences:
        data, space = ["--data", f"tsv:{arguments.sentences.resolve()}"], SPACE
    else:
        made_up = write_sentences(results / "sentences.tsv")
        data, space = ["--data", f"tsv:{made_up}", "--tokens", "12", "--vocabulary", "256"], SMALL_SPACE

    command("data", "check", *data[1:], right=(0, SUSPICIOUS))
    experiment = shutil.copy(EXPERIMENT, results)
    command("space", *space, *data, output=results / "search_space.json")
    quick = ["--quick"] if arguments.quick else []
    where = ["--port", str(arguments.port), "--results", str(results)]
    command("run", experiment, *quick, *where, "--trial-options", shlex.join(data))


def write_sentences(file: Path, number: int = 1200) -> Path:
    """Write sentences about films; half of them praise, and a ``not`` turns praise into blame; the file."""
    rng = random.Random(0)
    things = ("story", "cast", "music", "ending", "camera work", "dialogue", "first half", "director", "humour", "pace")
    praise = ("good", "moving", "clever", "bright", "honest", "warm", "fresh", "sharp")
    blame = ("bad", "dull", "clumsy", "grey", "false", "cold", "stale", "flat")
    adverbs = ("very", "really", "often", "simply", "rather", "always")
    lines = set()
    while len(lines) < number:
        is_praise, is_turned = rng.random() < 0.5, rng.random() < 0.3
        words = ["the", rng.choice(things), "is", *(["not"] if is_turned else [])]
        words += [rng.choice(adverbs), rng.choice(praise if is_praise != is_turned else blame)]
        words += rng.choice(([], ["and", "the", rng.choice(things), "helps"], ["in", "the", "end"]))
        lines.add(f"{' '.join(words)}\t{'praise' if is_praise else 'blame'}")
    file.write_text("\n".join(sorted(lines)) + "\n")
    return file


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
