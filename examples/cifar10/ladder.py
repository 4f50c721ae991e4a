"""What each step from a static network to searched exits with tuned cutoffs is worth, on the same data and training.

    python examples/cifar10/ladder.py --data folder:PATH --results ladder

A supernet is trained once. Each row of the ladder (``ROWS``) is a search space and settings. Its search looks at networks with
the supernet's weights; the best one for each target of average MACs is trained further, by one recipe for all; its cutoffs are
fitted to calibration data; and it is judged on the test split, once. Seeds are those of the searches: data, supernet and order
of batches are the same for all. With the same results folder, all of it goes on where it was after whatever ended it.

``ladder.json`` holds the results; ``python benchmarks/ladder.py ladder.json`` makes table and picture of it. ``--quick`` shows
all of it in some minutes; its networks have learned next to nothing.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import joblib
import yaml

SUPERNET = "batch_size=256 learning_rate=0.025 precision=float32"
BACKBONE = 1.5
"""MACs of the static network that gets exits by hand, as a multiple of the target."""


@dataclass(frozen=True)
class Row:
    """One step of the ladder.

    Attributes
    ----------
    about
        The step in words.
    arguments
        Arguments of the space, by which its exits are limited.
    goal
        Settings of the cutoffs, in the search and after it.
    searches
        ``"each"`` target within its limit, all targets ``"once"`` without one, or the row whose trained networks are taken.
    """

    about: str
    arguments: str = ""
    goal: Mapping[str, Any] = field(default_factory=dict)
    searches: str = "each"


CLASSIFIERS = "exit_depth=0 exit_heads=avg"
ROWS = {
    "static": Row("no exits", "max_exits=0", searches="once"),
    "by hand": Row(
        "static backbone, two exits by hand, one shared cutoff (BranchyNet)",
        "fixed_exits=0,2 max_exits=2 exit_depth=1 exit_heads=avg exit_layers={layer}",
        {"cutoffs": "shared"},
        searches="static",  # and trained anew, with its exits
    ),
    "positions": Row("backbone and positions searched (EDANAS)", CLASSIFIERS, {"cutoffs": "shared"}, "once"),
    "constrained": Row("the same within the target (NACHOS)", CLASSIFIERS, {"cutoffs": "shared"}),
    "branches": Row("exit branches searched, cutoffs fixed", goal={"cutoffs": 0.9}),
    "tuned after": Row(
        "the same networks, cutoffs tuned after the search", goal={"drop_exits": False}, searches="branches"
    ),
    "tuned": Row("exit branches searched, cutoffs tuned (AEBNAS)", goal={"drop_exits": False}),
    "untuned": Row("the same networks, one shared cutoff after all", goal={"cutoffs": "shared"}, searches="tuned"),
    "learned": Row("confidence learned, too", goal={"drop_exits": False, "confidence": "learned"}, searches="tuned"),
    "dropped": Row("exits that do not pay left out, too", goal={"confidence": "learned"}, searches="tuned"),
}


@dataclass(frozen=True)
class Plan:
    """What is run, and how much of it; ``options`` are those of every trial, ``training`` those of the further trainings."""

    space: str
    options: Mapping[str, Any]
    results: Path
    targets: tuple[float, ...]
    seeds: int
    networks: int
    layer: str
    epochs: int
    training: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        """The file of the supernet."""
        return self.results / "supernet.safetensors"

    def searched(self, row: str, target: float | None, seed: int) -> Path:
        """The file of a search: a line for each network."""
        limit = "any" if target is None else f"{target:g}"
        return self.results / "searches" / f"{row}-{limit}-{seed}.jsonl"

    def made(self, row: str) -> Any:
        """The space of a row."""
        from nni_earlyexit import search_spaces

        return search_spaces.create(f"{self.space} {ROWS[row].arguments.format(layer=self.layer)}")

    def settings(self, row: str, **more: Any) -> Any:
        """The settings of a trial of a row; of its trade-off, the most accurate point within the limit counts."""
        from nni_earlyexit.training.settings import Settings

        weights = str(self.weights)
        return Settings.from_options(
            **{**self.options, "weights": weights, "threads": 1, "tolerance": 0.0}, **ROWS[row].goal, **more
        )


def search(plan: Plan, row: str, target: float | None, seed: int) -> None:
    """Look at networks with the weights of the supernet; those that the file has are not looked at again."""
    from nni_earlyexit import EarlyExitEvaluator, strategies
    from nni_earlyexit.space import domain
    from nni_earlyexit.utils.files import write_whole
    from nni_earlyexit.utils.progress import say

    file = plan.searched(row, target, seed)
    lines = read(file)
    if file.is_file() and not file.read_text().endswith("\n"):  # the run before was ended in the middle of a line
        whole = "".join(json.dumps(line) + "\n" for line in lines)
        write_whole(file, lambda temporary: temporary.write_text(whole))
    if len(lines) >= plan.networks or {} in lines:
        return
    space, settings = plan.made(row), plan.settings(row, max_avg_macs=target)
    strategy = strategies.create("surrogate", objectives={"accuracy": "max", "avg_macs": "min"}, seed=seed)
    with file.open("a") as opened:
        try:
            strategy.start(domain(space, settings.limits))
        except ValueError as error:  # even the cheapest network costs more
            say(f"{file.stem}: {error}")
            opened.write("{}\n")
            return
        for line in lines:
            strategy.tell(line["sample"], line["metrics"])
        evaluator = EarlyExitEvaluator(settings)
        for number in range(len(lines), plan.networks):
            sample = strategy.ask()
            metrics = evaluator.evaluate(space.freeze(sample)).metrics
            strategy.tell(sample, metrics)
            opened.write(json.dumps({"sample": sample, "metrics": metrics}) + "\n")
            opened.flush()
            if (number + 1) % 10 == 0:
                say(f"{file.stem}: {number + 1} of {plan.networks} networks")


def read(file: Path) -> list[dict[str, Any]]:
    """The whole lines of ``file``; the last one may have been cut by what ended the run before."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def best(plan: Plan, row: str, target: float, seed: int) -> tuple[dict[str, Any], float] | None:
    """The most accurate network of a row's search within ``target`` average MACs, and its accuracy; ``None`` if none is."""
    limit = None if ROWS[row].searches == "once" else target
    found: tuple[dict[str, Any], float] | None = None
    for line in filter(None, read(plan.searched(row, limit, seed))):
        front = line["metrics"].get("front", {"accuracy": [], "avg_macs": []})
        for accuracy, macs in zip(front["accuracy"], front["avg_macs"], strict=True):
            if macs <= target and (found is None or accuracy > found[1]):
                found = line["sample"], accuracy
    return found


def chosen(plan: Plan, row: str, target: float, seed: int) -> dict[str, Any] | None:
    """The sample of a row for a target; ``None`` where its search has none."""
    if row == "by hand":
        static = best(plan, "static", BACKBONE * target, seed)
        if static is None:
            return None
        space = plan.made(row)
        backbone = {label: value for label, value in static[0].items() if not label.startswith("exit")}
        others = {label: "no" if label.endswith("_present") else values[0] for label, values in space.choices.items()}
        return dict(space.canonical({**others, **backbone}))
    found = best(plan, trained_as(row), target, seed)
    return None if found is None else found[0]


def trained_as(row: str) -> str:
    """The row whose trained networks a row judges, most often itself."""
    source = ROWS[row].searches
    return source if source in ROWS and row != "by hand" else row


def train_and_judge(plan: Plan, row: str, target: float, seed: int) -> dict[str, Any]:
    """The network of a row for a target, trained further and judged; a row that takes another's network takes it trained."""
    from nni_earlyexit.evaluation import record
    from nni_earlyexit.evaluation.network_front import judge
    from nni_earlyexit.evaluation.one_network import train_one
    from nni_earlyexit.utils.files import write_json
    from nni_earlyexit.utils.progress import say

    result: dict[str, Any] = {"row": row, "target": target, "seed": seed}
    file = plan.results / "judged" / f"{row}-{target:g}-{seed}.json"
    if file.is_file():
        return dict(json.loads(file.read_text()))
    sample = chosen(plan, row, target, seed)
    if sample is not None:
        own = trained_as(row)
        folder = plan.results / "trained" / f"{own}-{target:g}-{seed}"
        settings = plan.settings(own, finetune=True, epochs=plan.epochs, **plan.training)
        train_one(plan.made(own), sample, settings, folder, lambda line: say(f"{folder.name}: {line}"))
        goal = plan.settings(row, max_avg_macs=target)
        (member,) = judge([replace(record.load(folder), settings=goal)])
        result |= {"sample": sample, **member.to_dict()}
        del result["trial_folder"]
    write_json(file, result)
    return result


def trade_off(plan: Plan, row: str, target: float | None, seed: int) -> list[dict[str, Any]]:
    """The networks of a row's search that no other one beats on validation data, cheapest first."""
    lines = [line for line in read(plan.searched(row, target, seed)) if line]
    points = sorted(
        (macs, -accuracy, number)
        for number, line in enumerate(lines)
        for accuracy, macs in zip(*(line["metrics"]["front"][name] for name in ("accuracy", "avg_macs")), strict=True)
    )
    space = plan.made(row)
    front: list[dict[str, Any]] = []
    for macs, lost, number in points:
        if not front or -lost > front[-1]["accuracy"]:
            architecture = space.describe(lines[number]["sample"])
            front.append({"accuracy": -lost, "avg_macs": macs, "architecture": architecture})
    return front


def options_of(words: str) -> dict[str, Any]:
    """Options that are given as ``name=value name=value``."""
    return {name: yaml.safe_load(value) for name, _, value in (word.partition("=") for word in words.split())}


def table(results: list[dict[str, Any]]) -> str:
    """Test accuracy of each row by target, the mean over the seeds."""
    from nni_earlyexit.utils.amounts import format_macs
    from nni_earlyexit.utils.tables import aligned

    targets = sorted({result["target"] for result in results})
    lines = []
    for row, about in ROWS.items():
        cells = []
        for target in targets:
            own = [r["test"] for r in results if (r["row"], r["target"]) == (row, target) and "test" in r]
            mean = {name: sum(test[name] for test in own) / len(own) for name in ("accuracy", "avg_macs") if own}
            cells.append(f"{mean['accuracy']:.2%} at {format_macs(mean['avg_macs'])}" if own else "none")
        lines.append([row, *cells, about.about])
    return aligned(["row", *(f"within {format_macs(target)}" for target in targets), "what it is"], lines)


def main() -> None:
    """Supernet, searches, further training and judgement of all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="folder:PATH, or cifar10, which torchvision reads in ~/data")
    parser.add_argument("--space", default="mobilenetv3 halvings=5", help="space and its arguments but those of exits")
    parser.add_argument("--results", type=Path, default=Path("ladder"), help="folder for all that comes out")
    parser.add_argument("--targets", type=float, nargs="+", default=[2.7e6, 4e6, 6e6], help="average MACs")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each row")
    parser.add_argument("--networks", type=int, default=200, help="networks of a search")
    parser.add_argument("--layer", default="conv_k3", help="layer of the exits by hand")
    parser.add_argument("--supernet-epochs", type=int, default=18)
    parser.add_argument("--supernet", default=SUPERNET, help="options of its training, as name=value name=value")
    parser.add_argument("--epochs", type=int, default=20, help="of further training")
    parser.add_argument("--training", default="", help="further options of further training, as name=value name=value")
    parser.add_argument("--jobs", type=int, default=2, help="searches and trainings at once, each with one thread")
    parser.add_argument("--quick", action="store_true", help="some minutes, to see that it works")
    given = parser.parse_args()
    from nni_earlyexit.utils.files import write_json

    options: dict[str, Any] = {"data": given.data}
    if given.data == "cifar10":
        options |= {"root": str(Path("~/data").expanduser()), "download": True}
    if given.quick:
        given.seeds, given.networks, given.supernet_epochs, given.epochs = 1, 4, 1, 1
        options["most_inputs"] = 1000
    plan = Plan(
        given.space,
        options,
        given.results.resolve(),
        tuple(given.targets[:1] if given.quick else given.targets),
        given.seeds,
        given.networks,
        given.layer,
        given.epochs,
        options_of(given.training),
    )
    for folder in ("searches", "trained", "judged"):
        (plan.results / folder).mkdir(parents=True, exist_ok=True)
    if not plan.weights.is_file():
        its = {**options, **options_of(given.supernet), "epochs": given.supernet_epochs, "threads": given.jobs}
        words = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in its.items()]
        command = [*shlex.split(given.space), *words, f"--output={plan.weights}"]
        print(f"$ nni-earlyexit supernet {shlex.join(command)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "nni_earlyexit.cli", "supernet", *command], check=False)
        if done.returncode:
            sys.exit(done.returncode)
    at_once = joblib.Parallel(n_jobs=given.jobs)
    searches = [
        (name, target, seed)
        for seed in range(plan.seeds)
        for name, row in ROWS.items()
        for target in {"once": [None], "each": plan.targets}.get(row.searches, [])
    ]
    at_once(joblib.delayed(search)(plan, *step) for step in searches)
    steps = [(row, target, seed) for seed in range(plan.seeds) for row in ROWS for target in plan.targets]
    first = [step for step in steps if trained_as(step[0]) == step[0]]  # the others take what these have trained
    at_once(joblib.delayed(train_and_judge)(plan, *step) for step in first)
    results = at_once(joblib.delayed(train_and_judge)(plan, *step) for step in steps)
    about = {
        "space": plan.space,
        "data": given.data.partition(":")[0],
        "networks": plan.networks,
        "epochs": plan.epochs,
    }
    fronts = [
        {"row": row, "target": target, "seed": seed, "trade_off": trade_off(plan, row, target, seed)}
        for row, target, seed in searches
    ]
    write_json(plan.results / "ladder.json", {**about, "results": results, "searches": fronts})
    print(table(results))
    print(f"wrote {plan.results / 'ladder.json'}; python benchmarks/ladder.py {plan.results / 'ladder.json'} draws it")


if __name__ == "__main__":
    main()
