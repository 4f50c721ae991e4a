"""What searched exits are worth beside exits by hand, for a trained network that is kept.

    python examples/pretrained/ladder.py lite0.safetensors --data folder:PATH --results pretrained-ladder

Each row (``ROWS``) is a space and settings, as in examples/cifar10/ladder.py. Branches are trained once per seed, in a bank
that all rows share; the most accurate network for each target of average MACs is found among their combinations on validation
data, its cutoffs are fitted to calibration data, and it is judged on the test split, once. What is done is not done again.
``ladder.json`` holds the results; ``python benchmarks/ladder.py ladder.json`` makes table and picture of it.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation.exit_search import find_exits, open_bank
from nni_earlyexit.report.exits_report import exits_report
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.files import write_json
from nni_earlyexit.utils.progress import say

BY_HAND = "fixed_exits=0,2 banned_exits=1 exit_depth=1 exit_layers=conv_k3 exit_heads=avg"
CLASSIFIERS = "exit_depth=0 exit_heads=avg"


@dataclass(frozen=True)
class Row:
    """Arguments of the space, settings of the cutoffs, and whether ``--branches`` are searched; else there is one each."""

    arguments: str = ""
    goal: Mapping[str, Any] = field(default_factory=dict)
    searched: bool = True


ROWS = {
    "by hand": Row(BY_HAND, {"cutoffs": "shared"}, searched=False),
    "constrained": Row(CLASSIFIERS, {"cutoffs": "shared"}, searched=False),
    "branches": Row(goal={"cutoffs": "shared"}),
    "tuned": Row(goal={"drop_exits": False}),
    "learned": Row(goal={"drop_exits": False, "confidence": "learned"}),
    "dropped": Row(goal={"confidence": "learned"}),
}


def result(given: argparse.Namespace, row: str, target: float, seed: int) -> dict[str, Any]:
    """The network of a row for a target, judged."""
    name = f"{row}-{target:g}-{seed}"
    file = given.results / f"{name}.json"
    if file.is_file():
        return dict(json.loads(file.read_text()))
    own = ROWS[row]
    weights = given.weights.resolve()
    space = search_spaces.create(f"timm:{given.model} {shlex.quote(f'weights={weights}')} frozen=true {own.arguments}")
    settings = Settings.from_options(
        data=given.data, validation_share=0.15, calibration_share=0.15, epochs=given.epochs, seed=seed,
        max_avg_macs=target, tolerance=0.0, **own.goal,
    ).with_whole_paths().for_network(space.input_shape)  # fmt: skip
    bank = open_bank(space, settings, given.results / f"bank-{seed}", say)
    count = given.branches if own.searched else len(bank.branches.stages)
    found = find_exits(bank, settings, given.results / name, count=count, jobs=given.jobs, say=say)
    say(f"{name}\n{exits_report(found)}\n")
    judged = {"row": row, "target": target, "seed": seed, **found.member.to_dict()}
    del judged["trial_folder"], judged["class_names"]
    write_json(file, judged)
    return judged


def main() -> None:
    """Every row for every target and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "weights", type=Path, help="safetensors file with the model's weights and as many classes as the data"
    )
    parser.add_argument("--data", required=True, help="folder:PATH")
    parser.add_argument("--model", default="tf_efficientnet_lite0", help="timm's name of the model")
    parser.add_argument("--results", type=Path, default=Path("pretrained-ladder"), help="folder for all that comes out")
    parser.add_argument("--targets", type=float, nargs="+", default=[100e6, 150e6, 200e6], help="average MACs")
    parser.add_argument("--seeds", type=int, default=3, help="splits, searches and trainings of each row")
    parser.add_argument("--branches", type=int, default=30, help="branches of a search")
    parser.add_argument("--epochs", type=int, default=12, help="of each branch")
    parser.add_argument("--jobs", type=int, default=2, help="branches that are trained at once")
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    results = [
        result(given, row, target, seed) for seed in range(given.seeds) for row in ROWS for target in given.targets
    ]
    about = {"model": given.model, "branches": given.branches, "epochs": given.epochs}
    (given.results / "ladder.json").write_text(json.dumps({**about, "results": results}, indent=1))
    say(
        f"wrote {given.results / 'ladder.json'}; python benchmarks/ladder.py {given.results / 'ladder.json'} makes a table"
    )


if __name__ == "__main__":
    main()
