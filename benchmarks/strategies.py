"""How many trials strategies need, on tables of networks that were really trained (``benchmarks/tabular``).

    python benchmarks/strategies.py [--part PART ...] [--table TABLE ...] [--seeds 20]     # parts: see PARTS

Every method is judged alike: by the hypervolume of the union of the fronts of all networks that it tried, as a share of that
of the whole table's front. What a method is told differs: ours get each network's whole front, peers the reported point.
Only distinct networks count as trials. Peers are in ``benchmarks/peers.py``; they come with ``pip install -e ".[benchmarks]"``.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import heapq
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit import strategies
from nni_earlyexit.search.archive import Archive
from nni_earlyexit.search.ask_tell import AskTell, Exhausted
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.domain import Domain, key
from nni_earlyexit.search.hypervolume import Improvement
from nni_earlyexit.search.successive_halving import SuccessiveHalving
from nni_earlyexit.search.surrogate.models import Models
from nni_earlyexit.search.surrogate.targets import Array, Targets, targets
from nni_earlyexit.search.trials import Trial
from peers import PEERS, Enough
from tabular import FOLDER, Box, Table
from tabular.synthetic import Synthetic

TABLES = ("digits", "cifar10_8x8")
SYNTHETIC = ("synthetic0", "synthetic3", "synthetic10")
"""Tables that are computed, for the part that looks at the ends of the front."""
SHARES = (0.95, 0.98, 0.99)
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "strategies.png"
PROCESSES = 2

EVOLUTIONARY = ("NNI RegularizedEvolution", "Optuna NSGA-II", "pymoo NSGA-II")
MODEL_BASED = ("NNI TPE", "Optuna TPE", "SMAC ParEGO", "BoTorch qNEHVI")
OURS = ("random", "nsga2", "local_search", "surrogate")
SLOW = {"surrogate": 200, "Optuna TPE": 200, "SMAC ParEGO": 100, "BoTorch qNEHVI": 100}
"""Trials that methods get whose proposals take long; all others get at most as many as the table has networks."""
FEW_SEEDS = {"SMAC ParEGO": 7, "BoTorch qNEHVI": 7}
"""One seed in so many for the slowest."""
MOST = 400


@cache
def loaded(name: str, beside: tuple[str, ...] = ()) -> tuple[Table, Box]:
    table = Synthetic(int(name.removeprefix("synthetic"))) if name in SYNTHETIC else Table(name)
    return table, Box(table, beside)


class Search:
    """Counts distinct networks and how much of the true front they cover, until the budget is used up.

    The front is that of accuracy, average MACs and the metrics ``beside`` them.
    """

    def __init__(self, table: str, budget: int, beside: tuple[str, ...] = ()) -> None:
        self.table, self.box = loaded(table, beside)
        self.beside = beside
        self.budget, self.asked = min(budget, len(self.table)), 0
        self.seen: dict[int, dict[str, Any]] = {}
        self.archive = Archive(2 + len(beside))
        self.covered: list[float] = []

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        number = self.table.network(sample)
        self.asked += 1
        if number not in self.seen:
            if len(self.seen) >= self.budget:
                raise Enough
            self.seen[number] = self.table.query(sample)
            before = len(self.archive.owners), self.archive.points.sum()
            self.archive.add(str(number), self.table.losses(self.seen[number], self.beside))
            changed = before != (len(self.archive.owners), self.archive.points.sum())
            self.covered.append(self.box.share(self.archive.points) if changed else self.covered[-1])
        elif self.asked > 30 * self.budget:
            raise Enough  # it proposes nothing new any more
        return self.seen[number]


def ours(strategy: AskTell, search: Search) -> None:
    strategy.start(search.table.domain)
    while True:
        sample = strategy.ask()
        strategy.tell(sample, search(sample))


def searched(task: tuple[str, str, int, dict[str, Any]]) -> tuple[list[float], float]:
    """One method on one table with one seed: what was covered after each trial, and seconds per trial."""
    table, method, seed, arguments = task
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    name = arguments.pop("strategy", method)
    beside = tuple(arguments.pop("beside", ()))
    if beside:
        arguments["objectives"] = {"accuracy": "max", "avg_macs": "min"} | dict.fromkeys(beside, "min")
    search = Search(table, arguments.pop("trials", SLOW.get(name, MOST)), beside)
    start = time.perf_counter()
    try:
        if name in PEERS:
            PEERS[name](search, search.table.choices, seed)
        else:
            ours(strategies.create(name, seed=seed, **arguments), search)
    except (Enough, Exhausted):
        pass
    return search.covered, (time.perf_counter() - start) / len(search.covered)


def compare(methods: Mapping[str, dict[str, Any]], tables: Sequence[str], seeds: int) -> dict[str, dict[str, Any]]:
    """Runs all methods on all tables and prints trials needed: median (quartiles); curves by table and method."""
    tasks = [
        (table, method, seed, dict(methods[method]))
        for seed in range(seeds)
        for table in tables
        for method in methods
        if seed % FEW_SEEDS.get(method, 1) == 0
    ]
    found: dict[str, dict[str, Any]] = {table: {method: [] for method in methods} for table in tables}
    start = time.perf_counter()
    with get_context("spawn").Pool(PROCESSES) as pool:
        try:
            for done, (task, result) in enumerate(zip(tasks, pool.imap(searched, tasks), strict=True), 1):
                found[task[0]][task[1]].append(result)
                left = (time.perf_counter() - start) / done * (len(tasks) - done)
                print(f"\r{done}/{len(tasks)} searches, {left / 60:.0f} min left ", end="", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print(f"interrupted in seed {task[2]}; what is finished counts")
    print(file=sys.stderr)
    for table in tables:
        print(
            f"{table}: {len(loaded(table)[0])} networks, trials until the share of the true front's hypervolume is reached"
        )
        print(f"  {'':26}" + "".join(f"{share:>22.0%}" for share in SHARES) + "  covered at 50, 100   s a trial")
        for method, results in found[table].items():
            if not results:
                continue
            cells = [_needed([curve for curve, _ in results], share) for share in SHARES]
            at = " ".join(f"{statistics.median(c[min(n, len(c)) - 1] for c, _ in results):.4f}" for n in (50, 100))
            seconds = statistics.median(s for _, s in results)
            print(f"  {method:26}" + "".join(f"{cell:>22}" for cell in cells) + f"   {at}   {seconds:9.4f}", flush=True)
    return {table: {method: own for method, own in results.items() if own} for table, results in found.items()}


def _needed(curves: Sequence[Sequence[float]], share: float) -> str:
    trials = [_first(curve, share) for curve in curves]
    low, middle, high = (_quantile(trials, q) for q in (0.25, 0.5, 0.75))
    most = max(map(len, curves))
    shown = [f"{value:.0f}" if np.isfinite(value) else f">{most}" for value in (middle, low, high)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def _quantile(values: Sequence[float], q: float) -> float:
    """Of values that may be infinite: the nearest one."""
    return sorted(values)[round(q * (len(values) - 1))]


def trials(tables: Sequence[str], seeds: int) -> None:
    fewer = ", ".join(f"{-(-seeds // share)} of {name}" for name, share in FEW_SEEDS.items())
    print(f"\n## Trials needed, {seeds} seeds ({fewer}): median (quartiles)")
    methods: dict[str, dict[str, Any]] = {name: {} for name in (*OURS, *PEERS)}
    found = compare(methods, tables, seeds)
    for table, curves in found.items():
        if len(curves) < len(methods):
            continue  # interrupted in the first seed
        median = {m: _quantile([_first(c, 0.99) for c, _ in r], 0.5) for m, r in curves.items()}
        best = min(EVOLUTIONARY, key=lambda m: median[m])
        model = min(MODEL_BASED, key=lambda m: median[m])
        print(
            f"{table}, 99%: surrogate {median['surrogate']:.0f} trials; {median['surrogate'] / median[best]:.2f} of the best "
            f"evolutionary peer ({best}), {median['surrogate'] / median[model]:.2f} of the best model-based one ({model}); "
            f"nsga2 {median['nsga2'] / median['Optuna NSGA-II']:.2f} of Optuna's and "
            f"{median['nsga2'] / median['pymoo NSGA-II']:.2f} of pymoo's",
            flush=True,
        )
    if all(found.values()):
        draw(found)


def _first(curve: Sequence[float], share: float) -> float:
    """Trials until that share was covered; infinite when it never was."""
    return next((n for n, c in enumerate(curve, 1) if c >= share), np.inf)


def draw(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Anytime curves: what is still missing of the true front, medians over the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), dpi=130, layout="constrained")
    for axes, (table, curves) in zip(
        figure.subplots(1, len(found), sharey=True, squeeze=False)[0], found.items(), strict=True
    ):
        for i, (method, results) in enumerate(curves.items()):
            length = min(len(curve) for curve, _ in results)
            missing = 1 - np.median([curve[:length] for curve, _ in results], axis=0)
            own = method in OURS
            axes.plot(
                np.arange(1, length + 1),
                np.maximum(missing, 1e-4),
                color=f"C{i % 10}",
                linestyle="-" if own else "--",
                linewidth=2.2 if method == "surrogate" else 1.3,
                label=method if own else f"{method} (peer)",
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(3e-4, 0.5)
        axes.set_title(table)
        axes.set_xlabel("networks tried")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("hypervolume that is missing, share of the true front's")
    figure.axes[-1].legend(fontsize=7.5, loc="lower left")
    figure.savefig(PICTURE)
    print(f"wrote {PICTURE.name}", flush=True)


def fronts(tables: Sequence[str], seeds: int) -> None:
    print("\n## What whole fronts save over reporting one point")
    compare(
        {
            f"{name}, {what}": {"strategy": name, "whole_fronts": whole}
            for name in ("nsga2", "local_search", "surrogate")
            for what, whole in (("whole fronts", True), ("one point", False))
        },
        tables,
        seeds,
    )


def three(tables: Sequence[str], seeds: int) -> None:
    print("\n## Three objectives: accuracy, average MACs and parameters")
    compare({name: {"beside": ["params"]} for name in (*OURS, "nsga3")}, tables, seeds)


def ends(tables: Sequence[str], seeds: int, trials: int = 300) -> None:
    print(f"\n## Ends of the front, in a space whose costs range over a factor of 100; {trials} trials, {seeds} seeds")
    for table, curves in compare({name: {"trials": trials} for name in OURS[1:]}, tables, seeds).items():
        for method, results in curves.items():
            last = sorted(curve[-1] for curve, _ in results)
            print(f"{table}, {method:12} covered at last, every seed: {' '.join(f'{share:.4f}' for share in last)}")


def time_of(name: str, known: int, asks: int = 10) -> tuple[float, float, float]:
    """Median seconds of ask and of tell, and of saving the state, with so many trials known."""
    rng = np.random.default_rng(0)
    choices: dict[str, list[Any]] = {f"x{i}": [0, 1, 2, 3] for i in range(15)} | {
        f"y{i}": list("abc") for i in range(15)
    }

    def costs(sample: Mapping[str, Any]) -> ExitCosts:
        total = 10 + sum(v for v in sample.values() if isinstance(v, int))
        return ExitCosts([1000 * total, 3000 * total, 9000 * total], [total] * 3, [total] * 3)

    def metrics(sample: Mapping[str, Any]) -> dict[str, Any]:
        spent = np.geomspace(*(costs(sample).macs[i] for i in (0, -1)), 32)
        accuracy = 1 - np.exp(-((spent / 1e5) ** 0.5) - 0.05 * sum(v == "a" for v in sample.values()))
        return {
            "accuracy": float(accuracy[9]),
            "avg_macs": float(spent[9]),
            "front": {"accuracy": accuracy.tolist(), "avg_macs": spent.tolist()},
        }

    strategy = strategies.create(name, seed=0)
    strategy.start(Domain(choices, costs=costs))
    while len(strategy.trials) < known:
        sample = {label: values[rng.integers(len(values))] for label, values in choices.items()}
        strategy.tell(sample, metrics(sample))
    strategy.tell(strategy.ask(), None)
    asked, told = [], []
    for _ in range(asks):
        start = time.perf_counter()
        sample = strategy.ask()
        between = time.perf_counter()
        result = metrics(sample)
        start_tell = time.perf_counter()
        strategy.tell(sample, result)
        told.append(time.perf_counter() - start_tell)
        asked.append(between - start)
    start = time.perf_counter()
    strategy.state_dict()
    return statistics.median(asked), statistics.median(told), time.perf_counter() - start


def cost_of_asking() -> None:
    print("\n## Cost of ask and tell, 30 choices, 32 points a network (limits at 10,000: nsga2 50 ms, surrogate 1 s)")
    for name in OURS:
        for known in (100, 1000, 10_000):
            ask, tell, state = time_of(name, known)
            print(
                f"{name:14} {known:6,} known trials: ask {ask * 1e3:7.1f} ms, tell {tell * 1e3:6.1f} ms, "
                f"state {state * 1e3:6.1f} ms",
                flush=True,
            )


def simulated(task: tuple[str, str, int, int, int]) -> tuple[float, float]:
    """With so many workers: trials needed for 99%, and seconds until then by the trainings' own seconds."""
    table, name, seed, workers, budget = task
    search = Search(table, budget)
    strategy = strategies.create(name, seed=seed)
    strategy.start(search.table.domain)
    running: list[tuple[float, int, Any]] = []
    for worker in range(workers):
        sample = strategy.ask()
        heapq.heappush(running, (search.table.query(sample)["train_seconds"], worker, sample))
    try:
        while running:
            now, worker, sample = heapq.heappop(running)
            strategy.tell(sample, search(sample))
            if search.covered[-1] >= 0.99:
                return len(search.covered), now
            following = strategy.ask()
            heapq.heappush(running, (now + search.table.query(following)["train_seconds"], worker, following))
    except (Enough, Exhausted):
        pass
    return np.inf, np.inf


def workers(tables: Sequence[str], seeds: int) -> None:
    print(
        "\n## Workers: trials and time until 99%, a worker's next network being asked for as soon as it is free; medians"
    )
    for table in tables:
        for name, budget in (("nsga2", MOST), ("surrogate", 250)):
            alone = None
            for count in (1, 2, 8, 64):
                tasks = [(table, name, seed, count, budget) for seed in range(seeds)]
                with get_context("spawn").Pool(PROCESSES) as pool:
                    found = np.array(pool.map(simulated, tasks, chunksize=1))
                needed, seconds = (_quantile(column.tolist(), 0.5) for column in found.T)
                alone = alone or seconds
                print(
                    f"{table}, {name}, {count:2} workers: {needed:.0f} trials, {seconds:.0f} s of training, "
                    f"{alone / seconds:.1f} times as fast as one ({alone / seconds / count:.0%} efficiency)",
                    flush=True,
                )


def noise(tables: Sequence[str], seeds: int) -> None:
    print(
        "\n## Noise: accuracy re-drawn from what other seeds of the training give, 100 trials of nsga2; points of the front"
    )
    for table in tables:
        data, _ = loaded(table)
        spread = [np.std([data.query(s, seed)["accuracy"] for seed in (0, 1, 2)], ddof=1) for s in data.repeated()]
        deviation = float(np.sqrt(np.mean(np.square(spread))))
        luck = [_luck_of_the_front(data, deviation, seed) for seed in range(seeds)]
        print(f"{table}, standard deviation {100 * deviation:.2f} points of accuracy:")
        for i, what in enumerate(("as the search saw them", "judged again")):
            flattery = [100 * one[:, i].mean() for one in luck]
            inside = np.mean(np.abs(np.concatenate(luck)[:, i]) <= 1.96 * deviation)
            print(
                f"  {what:24} {np.mean(flattery):+.2f} points above the truth (standard error "
                f"{np.std(flattery, ddof=1) / np.sqrt(seeds):.2f}), in {inside:.0%} of cases within the 95% interval",
                flush=True,
            )


def _luck_of_the_front(data: Table, deviation: float, seed: int, budget: int = 100) -> Array:
    """By how much the points of a search's front were lucky, and how lucky they are when judged again (points, 2)."""
    rng = np.random.default_rng(seed)
    strategy = strategies.create("nsga2", seed=seed)
    strategy.start(data.domain)
    luck: dict[str, float] = {}
    for _ in range(budget):
        sample = strategy.ask()
        metrics = data.query(sample)
        accuracy = [*metrics["front"]["accuracy"], metrics["accuracy"]]
        *along, reported = np.clip(np.add(accuracy, deviation * rng.normal()), 0, 1).tolist()
        luck[key(sample)] = reported - metrics["accuracy"]
        strategy.tell(sample, {**metrics, "accuracy": reported, "front": {**metrics["front"], "accuracy": along}})
    again = {owner: deviation * rng.normal() for owner in luck}
    return np.array([[luck[owner], again[owner]] for owner in strategy.archive.owners])


def halved(task: tuple[str, str, int, bool]) -> list[float]:
    """Epochs trained until each of ``SHARES``, with or without successive halving; what was stopped covers nothing."""
    table, name, seed, halving = task
    search = Search(table, SLOW.get(name, MOST))
    epochs = int(search.table.training["epochs"])
    judge = SuccessiveHalving(epochs)
    strategy = strategies.create(name, seed=seed)
    strategy.start(search.table.domain)
    trained, found = 0, dict.fromkeys(SHARES, np.inf)
    for _ in range(3 * search.budget):
        try:
            sample = strategy.ask()
        except Exhausted:
            break
        history = search.table.history(sample)
        goes_on = True
        for epoch in range(1, epochs):
            seen = {metric: values[epoch - 1] for metric, values in history.items()} | {"epochs": epoch}
            if halving and not judge.report(key(sample), epoch, seen):
                goes_on = False
                break
        if goes_on:
            trained += epochs
            try:
                strategy.tell(sample, search(sample))
            except Enough:
                break
            found |= {share: trained for share in SHARES if found[share] == np.inf and search.covered[-1] >= share}
            if search.covered[-1] >= SHARES[-1]:
                break
        else:
            trained += epoch
            strategy.tell(sample, seen)
    return list(found.values())


def halving(tables: Sequence[str], seeds: int) -> None:
    print(
        "\n## Successive halving: epochs of training until the share of the true front's hypervolume; median (quartiles)"
    )
    for table in tables:
        for name in ("random", "nsga2", "surrogate"):
            for how, whether in (("every training to its end", False), ("successive halving", True)):
                with get_context("spawn").Pool(PROCESSES) as pool:
                    found = np.array(
                        pool.map(halved, [(table, name, seed, whether) for seed in range(seeds)], chunksize=1)
                    )
                cells = [[_quantile(column.tolist(), q) for q in (0.5, 0.25, 0.75)] for column in found.T]
                shown = [
                    f"{share:.0%}: {m:.0f} ({a:.0f} to {b:.0f})" for share, (m, a, b) in zip(SHARES, cells, strict=True)
                ]
                print(f"{table}, {name}, {how:26}" + ", ".join(shown), flush=True)


ABLATIONS: dict[str, dict[str, Any]] = {
    "surrogate": {},
    "trees": {"family": "trees"},
    "family by cross-validation": {"family": "cross_validated"},
    "100 candidates": {"candidates": 100},
    "24 random at first": {"initial_random": 24},
}


def ablation(tables: Sequence[str], seeds: int) -> None:
    print("\n## Which parts of surrogate earn their place")
    compare({name: {"strategy": "surrogate", "trials": 100, **own} for name, own in ABLATIONS.items()}, tables, seeds)


def ceiling(tables: Sequence[str], seeds: int) -> None:
    print("\n## What luck leaves to be known: trials of trees that knew the rest of the table; median (quartiles)")
    for table in tables:
        data, box = loaded(table)
        every = strategies.create("random")
        every.start(data.domain)
        for sample in data.samples:
            every.tell(sample, data.query(sample))
        known = list(every.trials.values())
        learned = targets(every.objectives, data.domain, whole_fronts=True)
        x, y = learned.features(data.samples), learned.learn(known)
        mean, deviation = np.full((2, *y.shape), np.nan)
        order = np.random.default_rng(0).permutation(len(known))
        for fold in range(8):
            held = order[fold::8]
            rest = np.setdiff1d(order, held)
            mean[:, held], deviation[:, held] = Models("trees", x[:, rest], y[:, rest]).predict(x[:, held])
        curves = [_all_knowing(box, known, learned, mean, deviation, seed) for seed in range(seeds)]
        shown = ", ".join(f"{share:.0%}: {_needed(curves, share)}" for share in SHARES)
        print(f"{table}: {shown}", flush=True)


def _all_knowing(
    box: Box, known: Sequence[Trial], learned: Targets, mean: Array, deviation: Array, seed: int
) -> list[float]:
    """The share covered after each trial, when the next network is always the one with the largest expected improvement."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(size=(32, len(mean), len(known)))
    possible = learned.points([trial.sample for trial in known], mean + luck * deviation)
    left = np.ones(len(known), dtype=bool)
    archive, covered = Archive(2), []
    while len(covered) < len(known) and (not covered or covered[-1] < SHARES[-1]):
        if len(covered) < 5:
            chosen = int(rng.choice(np.flatnonzero(left)))
        else:
            improvement = Improvement(archive.points)
            gains = np.mean([improvement.gains(points) for points in possible], axis=0)
            chosen = int(np.argmax(np.where(left, gains, -1)))
        left[chosen] = False
        archive.add(str(chosen), known[chosen].points)
        covered.append(box.share(archive.points))
    return covered


def own(tables: Sequence[str], seeds: int) -> None:
    """As the part ``trials``, of this package's strategies alone, which takes minutes."""
    print(f"\n## Trials that the own strategies need, {seeds} seeds: median (quartiles)")
    compare({name: {} for name in OURS}, tables, seeds)


PARTS: dict[str, Callable[[Sequence[str], int], None]] = {
    "trials": trials,
    "own": own,
    "fronts": fronts,
    "three": three,
    "ends": ends,
    "ablation": ablation,
    "time": lambda tables, seeds: cost_of_asking(),
    "workers": workers,
    "noise": noise,
    "halving": halving,
    "ceiling": ceiling,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=[part for part in PARTS if part != "own"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--table", nargs="+", choices=(*TABLES, *SYNTHETIC), help="those that a part is about if left out"
    )
    arguments = parser.parse_args()
    trained = [name for name in arguments.table or TABLES if name not in SYNTHETIC]
    missing = [name for name in trained if not (FOLDER / f"{name}.npz").is_file()]
    if missing:
        raise SystemExit(f"tables: {missing[0]} is missing; python benchmarks/build_tables.py {missing[0]} makes it")
    for part in arguments.part:
        PARTS[part](arguments.table or (SYNTHETIC if part == "ends" else TABLES), arguments.seeds)


if __name__ == "__main__":
    main()
