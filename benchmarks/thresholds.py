"""How good and how fast the threshold optimizer is.

    python benchmarks/thresholds.py [OUTPUTS.npz ...] [--part optimality speed peers learned guarantee selective]

Data are the given files of outputs (fitted to their calibration arrays, judged on their test arrays), a synthetic
network, and a real one trained on scikit-learn's digits. All runs on one core, except that the draws of the guarantee are
shared between two processes. Hypervolumes are those of the box from the first exit's accuracy to 1 and from the first
exit's cost to the last one's.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import statistics
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from nni_earlyexit import Guarantee, ThresholdOptimizer
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.thresholds.confidence import max_prob
from nni_earlyexit.thresholds.cutoff_problem import cheapest_first
from nni_earlyexit.thresholds.outputs_file import load

BUDGETS = np.linspace(0.1, 1, 10)
"""Shares of the way from the first exit's cost to the last one's."""
REFITS = 12
"""Bootstrap samples of both the fitting and the test inputs, on each of which every peer is fitted again."""
RESAMPLES = 200
"""Bootstrap samples of the test inputs."""


@dataclass
class Data:
    """Outputs to fit to and to judge on."""

    name: str
    logits: np.ndarray
    y: np.ndarray
    costs: np.ndarray
    branches: np.ndarray
    test_logits: np.ndarray
    test_y: np.ndarray

    @property
    def confidences(self) -> np.ndarray:
        return max_prob(self.logits)[:, :-1]

    @property
    def right(self) -> np.ndarray:
        return (self.logits.argmax(axis=-1) == self.y[:, None]).astype(float)

    @property
    def test_right(self) -> np.ndarray:
        return (self.test_logits.argmax(axis=-1) == self.test_y[:, None]).astype(float)


def synthetic(inputs: int, exits: int, seed: int = 0, classes: int = 10) -> tuple[np.ndarray, ...]:
    """Logits, classes, costs and branch costs: noise that passes from exit to exit, and a class that stands out more."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, inputs)
    difficulty = 1.5 * rng.normal(size=inputs)
    noise = rng.normal(size=(inputs, classes))
    logits = np.empty((inputs, exits, classes), np.float32)
    for k, ability in enumerate(np.linspace(0.5, 3, exits)):
        noise = 0.75 * noise + 0.66 * rng.normal(size=(inputs, classes))
        logits[:, k] = 2.4 * noise
        logits[np.arange(inputs), k, y] += 2 * (1.3 * ability - difficulty)
    branches = np.full(exits, 2e4)
    branches[-1] = 1e3
    return logits, y, np.linspace(1e6 / exits, 1e6, exits) + branches.cumsum(), branches


def from_file(path: Path) -> Data:
    found = load(path)
    sets = [(found.logits[name], found.labels[name]) for name in ("calibration", "test")]
    return Data(path.name, *sets[0], found.exit_costs.astype(float), found.branch_costs.astype(float), *sets[1])


def from_synthetic(inputs: int = 5000, exits: int = 4) -> Data:
    logits, y, costs, branches = synthetic(3 * inputs, exits)
    return Data(f"synthetic, {exits} exits", logits[:inputs], y[:inputs], costs, branches, logits[inputs:], y[inputs:])


def from_digits() -> Data:
    """A network of the digits space with all exits; fitted to what it did not train on but the test split."""
    import torch
    from nni_earlyexit import EarlyExitEvaluator, search_spaces

    space = search_spaces.create("digits")
    rng = np.random.default_rng(0)
    sample = next(s for s in iter(lambda: space.sample(rng), None) if len(space.exit_costs(s)) == 4)
    torch.manual_seed(0)
    evaluator = EarlyExitEvaluator(data="digits", epochs=3, threads=1)
    found = evaluator.evaluate(space.freeze(sample))
    test = evaluator.data.test
    return Data(
        "digits",
        np.concatenate([found.validation.logits, found.calibration.logits]),
        np.concatenate([found.validation.labels, found.calibration.labels]),
        np.array(found.network.exit_costs, float),
        np.array(found.network.branch_costs, float),
        exit_logits(found.network, test.x),
        test.y.numpy(),
    )


def timed(call: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def hypervolume(cost: np.ndarray, accuracy: np.ndarray, costs: np.ndarray, least: float) -> float:
    """Of points in the box of accuracy [least, 1] x cost [first exit, last exit], as a share of it."""
    order = np.argsort(cost)
    reached = np.clip((np.maximum.accumulate(accuracy[order]) - least) / (1 - least), 0, None)
    spent = np.clip((cost[order] - costs[0]) / (costs[-1] - costs[0]), 0, 1)
    return float((np.diff(np.append(spent, 1)) * reached).sum())


def exits_under(confidences: np.ndarray, cutoffs: np.ndarray) -> np.ndarray:
    return np.append(confidences >= cutoffs, np.ones((len(confidences), 1), bool), axis=1).argmax(axis=1)


def exhaustive(data: Data, quantiles: int = 100) -> np.ndarray:
    """The exact optimum: every combination of so many quantiles for all cutoffs but the last, which is swept exactly.

    Rows are cost, accuracy and cutoffs, cheapest first.
    """
    confidences, right, costs = data.confidences, data.right, data.costs
    inputs, swept = len(right), confidences.shape[1] - 1
    order = np.argsort(-confidences[:, swept], kind="stable")
    last, here, after = confidences[order, swept], right[order, swept], right[order, swept + 1]
    levels = [
        np.append(np.unique(np.quantile(confidences[:, k], np.linspace(0, 1, quantiles))), np.inf) for k in range(swept)
    ]
    found = []
    for cutoffs in itertools.product(*levels):
        rest, cost, hits = np.ones(inputs, bool), 0.0, 0.0
        for k, cutoff in enumerate(cutoffs):
            leaves = rest & (confidences[:, k] >= cutoff)
            cost, hits, rest = cost + leaves.sum() * costs[k], hits + right[leaves, k].sum(), rest & ~leaves
        own = np.flatnonzero(rest[order])
        gained = np.append(0, np.cumsum((here - after)[own])) + hits + after[own].sum()
        left = np.arange(len(own) + 1)
        spent = cost + left * costs[swept] + (len(own) - left) * costs[swept + 1]
        ends = np.append(True, np.append(last[own][1:] != last[own][:-1], True)) if len(own) else np.array([True])
        kept = np.flatnonzero(ends)
        kept = kept[cheapest_first(spent[kept], gained[kept])]
        vectors = np.tile(np.append(cutoffs, np.inf), (len(kept), 1))
        vectors[:, -1] = np.append(np.inf, last[own])[kept]
        found.append(np.column_stack([spent[kept] / inputs, gained[kept] / inputs, vectors]))
    points = np.concatenate(found)
    return points[cheapest_first(points[:, 0], points[:, 1])]


def fit(data: Data, **arguments: object) -> ThresholdOptimizer:
    return ThresholdOptimizer(**arguments).fit(data.logits, data.y, data.costs)


def optimality(sets: list[Data]) -> None:
    print(
        "\n## Optimality: hypervolume of the front on the data that it was fitted to, max probability, all exits kept"
    )
    for data in sets:
        if len(data.costs) != 4:
            continue
        start = time.perf_counter()
        best = exhaustive(data)
        seconds = time.perf_counter() - start
        opt = fit(data)
        own = timed(lambda data=data: fit(data))
        least = data.right[:, 0].mean()
        exact = hypervolume(best[:, 0], best[:, 1], data.costs, least)
        ours = hypervolume(opt.front_.avg_cost, opt.front_.accuracy, data.costs, least)
        print(
            f"{data.name}, {len(data.y)} inputs: exhaustive search {exact:.5f} in {seconds:.1f} s, "
            f"ours {ours:.5f} in {own:.3f} s: {ours / exact:.2%} (goal 99.9%)"
        )


def speed() -> None:
    print("\n## Speed, one core: all exits kept, and exits dropped where that pays")
    for exits, inputs in ((4, 5000), (4, 50_000), (4, 500_000), (2, 100_000), (6, 100_000), (10, 5000), (10, 100_000)):
        logits, y, costs, branches = synthetic(inputs, exits)
        repeats = 5 if inputs * exits < 300_000 else 1
        kept, dropped = (
            timed(lambda b=b, d=(logits, y, costs): ThresholdOptimizer().fit(*d, branch_costs=b), repeats)
            for b in (None, branches)
        )
        tracemalloc.start()
        opt = ThresholdOptimizer().fit(logits, y, costs)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        choice = timed(lambda opt=opt: opt.policy_at(knee=True), 50)
        print(
            f"{exits:2} exits x {inputs:7,} inputs x 10 classes: {kept:6.3f} s, dropping {dropped:6.3f} s, "
            f"{peak:4.0f} MiB beside the input of {logits.nbytes / 2**20:.0f} MiB, {len(opt.front_)} policies, "
            f"a choice {choice * 1e3:.2f} ms",
            flush=True,
        )


def shared_cutoff(data: Data) -> np.ndarray:
    """One cutoff for all exits, swept (BranchyNet, arXiv 1709.01686): 400 values."""
    values = np.append(np.quantile(data.confidences, np.linspace(0, 1, 399)), np.inf)
    return np.tile(values[:, None], (1, data.confidences.shape[1]))


def geometric_shares(data: Data) -> np.ndarray:
    """Shares of inputs that fall off geometrically with the exit (MSDNet, arXiv 1703.09844): 79 ratios."""
    exits = len(data.costs)
    rows = []
    for ratio in np.concatenate([np.linspace(0.025, 1, 40), 1 / np.linspace(0.025, 0.975, 39)]):
        shares = ratio ** np.arange(exits)
        counts = np.floor(shares / shares.sum() * len(data.y)).astype(int)
        rest, row = np.ones(len(data.y), bool), []
        for k in range(exits - 1):
            own = np.sort(data.confidences[rest, k])[::-1]
            cutoff = own[counts[k] - 1] if 0 < counts[k] <= len(own) else np.inf
            row.append(cutoff)
            rest &= data.confidences[:, k] < cutoff
        rows.append(row)
    return np.array(rows)


def objectives(data: Data) -> Callable[[np.ndarray], tuple[float, float]]:
    confidences, right, inputs = data.confidences, data.right, np.arange(len(data.y))

    def evaluate(cutoffs: np.ndarray) -> tuple[float, float]:
        exits = exits_under(confidences, cutoffs)
        return float(data.costs[exits].mean()), 1 - float(right[inputs, exits].mean())

    return evaluate


def optuna_nsga2(data: Data, trials: int = 2000) -> np.ndarray:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    evaluate = objectives(data)
    low = data.confidences.min()

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        return evaluate(np.array([trial.suggest_float(f"t{k}", low, 1) for k in range(len(data.costs) - 1)]))

    study = optuna.create_study(directions=["minimize"] * 2, sampler=optuna.samplers.NSGAIISampler(seed=0))
    study.optimize(objective, n_trials=trials)
    return np.array([[t.params[f"t{k}"] for k in range(len(data.costs) - 1)] for t in study.trials])


def pymoo_nsga2(data: Data, evaluations: int = 10_000) -> np.ndarray:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.optimize import minimize

    evaluate = objectives(data)

    class Cutoffs(ElementwiseProblem):
        def __init__(self) -> None:
            low = data.confidences.min()
            super().__init__(n_var=len(data.costs) - 1, n_obj=2, xl=low, xu=1.0)
            self.seen: list[np.ndarray] = []

        def _evaluate(self, x: np.ndarray, out: dict, *args: object, **kwargs: object) -> None:
            self.seen.append(x.copy())
            out["F"] = evaluate(x)

    problem = Cutoffs()
    minimize(problem, NSGA2(pop_size=100), ("n_eval", evaluations), seed=0)
    return np.array(problem.seen)


def ours(data: Data) -> np.ndarray:
    return fit(data).front_.cutoffs[:, :-1]


PEERS = {
    "shared cutoff (BranchyNet)": shared_cutoff,
    "geometric shares (MSDNet)": geometric_shares,
    "Optuna NSGA-II, 2,000": optuna_nsga2,
    "pymoo NSGA-II, 10,000": pymoo_nsga2,
}


def at_budgets(data: Data, cutoffs: np.ndarray) -> list[np.ndarray]:
    """For each budget: which test inputs are right under the policy that is most accurate on the fitting data."""
    evaluate = objectives(data)
    found = np.array([evaluate(row) for row in cutoffs])
    test, right = max_prob(data.test_logits)[:, :-1], data.test_right
    chosen = []
    for budget in data.costs[0] + BUDGETS * (data.costs[-1] - data.costs[0]):
        within = np.flatnonzero(found[:, 0] <= budget)
        row = cutoffs[within[np.lexsort((found[within, 0], found[within, 1]))[0]]] if len(within) else np.array([])
        exits = exits_under(test, row) if len(within) else np.zeros(len(test), int)
        chosen.append(right[np.arange(len(test)), exits])
    return chosen


def peers(sets: list[Data]) -> None:
    print(f"\n## Peers: test accuracy at {len(BUDGETS)} budgets, cutoffs on max probability fitted on other data")
    print("(ours - peer in points, +- 1.96 standard deviations of a paired bootstrap of both data; time of the fit)")
    for data in sets:
        methods = {"ours": ours, **PEERS}
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        accuracy: dict[str, list[list[float]]] = {name: [] for name in methods}
        for refit in range(1 + REFITS):
            sample = resampled(data, refit) if refit else data
            for name, method in methods.items():
                start = time.perf_counter()
                cutoffs = method(sample)
                seconds[name].append(time.perf_counter() - start)
                accuracy[name].append([right.mean() for right in at_budgets(sample, cutoffs)])
        mine = statistics.median(seconds["ours"])
        print(f"{data.name}: ours {mine:.3f} s, accuracy {' '.join(f'{a:.4f}' for a in accuracy['ours'][0])}")
        for name in PEERS:
            difference = 100 * (np.array(accuracy["ours"]) - np.array(accuracy[name]))
            noise = 1.96 * difference[1:].std(axis=0, ddof=1)
            worse = int((difference[0] + noise < 0).sum())
            taken = statistics.median(seconds[name])
            cells = "  ".join(f"{d:+.2f}+-{n:.2f}" for d, n in zip(difference[0], noise, strict=True))
            print(f"  {name}: {taken:.3f} s, {taken / mine:.1f}x; ours worse beyond noise at {worse} budgets")
            print(f"    {cells}", flush=True)


def resampled(data: Data, seed: int) -> Data:
    rng = np.random.default_rng(seed)
    fitted, test = (rng.integers(0, size, size) for size in (len(data.y), len(data.test_y)))
    return replace(
        data, logits=data.logits[fitted], y=data.y[fitted], test_logits=data.test_logits[test], test_y=data.test_y[test]
    )


def learned(sets: list[Data]) -> None:
    print("\n## Learned confidence: hypervolume on test data, of all policies fitted on other data")
    for data in sets:
        if len(data.costs) != 4:
            continue
        exact = exhaustive(data)[:, 2:]
        test = data.test_logits
        rows = {"exact optimum on max_prob": [exits_under(max_prob(test)[:, :-1], row) for row in exact]}
        seconds = {}
        for name in ("max_prob", "margin", "learned"):
            seconds[name] = timed(lambda name=name, data=data: fit(data, confidence=name), 3)
            opt = fit(data, confidence=name)
            rows[name] = [opt.policy_of(point).exits(test) for point in opt.front_]
            macs = opt.policy_.confidence_macs
        rng = np.random.default_rng(0)
        counts = rng.multinomial(len(test), np.full(len(test), 1 / len(test)), RESAMPLES) / len(test)
        counts = np.vstack([np.full(len(test), 1 / len(test)), counts])
        found = {}
        for name, exits in rows.items():
            right = np.stack([data.test_right[np.arange(len(test)), e] for e in exits], axis=1)
            cost = np.stack([data.costs[e] for e in exits], axis=1)
            accuracy, spent, least = counts @ right, counts @ cost, counts @ data.test_right[:, 0]
            found[name] = np.array(
                [hypervolume(*args, data.costs, low) for *args, low in zip(spent, accuracy, least, strict=True)]
            )
        for name, values in found.items():
            gain = values - found["exact optimum on max_prob"]
            low, high = np.quantile(gain[1:], [0.025, 0.975])
            print(
                f"{data.name}, {name}: {values[0]:.4f}, to the exact optimum {gain[0]:+.4f} "
                f"[{low:+.4f}, {high:+.4f}]{f', fitted in {seconds[name]:.2f} s' if name in seconds else ''}"
            )
        differences = [_learned_gain(split) for split in splits(data, 5)]
        print(f"  learned to max_prob on 5 random splits of all inputs: {' '.join(f'{d:+.4f}' for d in differences)}")
        print(
            f"  the learned measure costs {macs} of {data.costs[-1]:.0f} MACs, {macs / data.costs[-1]:.4%}", flush=True
        )


def splits(data: Data, count: int) -> list[Data]:
    """The inputs to fit to and to judge on, mixed and divided again."""
    logits, y = np.concatenate([data.logits, data.test_logits]), np.concatenate([data.y, data.test_y])
    found = []
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(y))
        fitted, test = order[: len(data.y)], order[len(data.y) :]
        found.append(replace(data, logits=logits[fitted], y=y[fitted], test_logits=logits[test], test_y=y[test]))
    return found


def _learned_gain(data: Data) -> float:
    """Test hypervolume of the learned measure minus that of max probability."""
    least, found = data.test_right[:, 0].mean(), []
    for name in ("learned", "max_prob"):
        test = fit(data, confidence=name).judge(data.test_logits, data.test_y)
        found.append(hypervolume(test.avg_cost, test.accuracy, data.costs, least))
    return found[0] - found[1]


POOL: Data


def _draw(arguments: tuple[int, int, float, str]) -> tuple[float, float, float, float]:
    """For one calibration set: drop and cost on the whole pool, with a guarantee and with less.

    The drop is that among all inputs, compared with no guarantee, or that among those that leave early, compared with the
    guarantee among all.
    """
    seed, inputs, max_drop, among = arguments
    logits, y = POOL.logits, POOL.y
    chosen = np.random.default_rng(seed).integers(0, len(y), inputs)
    last = logits[:, -1].argmax(axis=-1) == y
    less = {"max_drop": max_drop} if among == "all" else {"guarantee": Guarantee(max_drop)}
    found = []
    for goal in ({"guarantee": Guarantee(max_drop, among=among)}, less):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opt = ThresholdOptimizer(**goal, random_state=seed)
            opt.fit(logits[chosen], y[chosen], POOL.costs, branch_costs=POOL.branches)
        exits = opt.exits(logits)
        paid = np.array(opt.policy_.costs_without_dropped(POOL.costs, POOL.branches))
        drops = last.astype(float) - (opt.predict(logits) == y)
        counted = drops if among == "all" else drops[exits < logits.shape[1] - 1]
        found += [counted.mean() if len(counted) else 0.0, paid[exits].mean() / POOL.costs[-1]]
    return tuple(found)


def guarantee(sets: list[Data], among: str = "all", draws: int = 1000) -> None:
    from scipy.stats import binomtest

    global POOL
    print(
        f"\n## Guarantee, {among}: {draws} calibration sets drawn with replacement from a pool, judged on the whole pool"
    )
    print("(confidence 95%: at most 5% may drop more than is allowed; cost as a share of the full network's)")
    for data in sets:
        POOL = Data(
            data.name,
            np.concatenate([data.logits, data.test_logits]),
            np.concatenate([data.y, data.test_y]),
            data.costs,
            data.branches,
            *(data.test_logits, data.test_y),
        )
        with get_context("fork").Pool(2) as pool:
            for max_drop, inputs in itertools.product((0.01, 0.02), (1000, 5000, 10_000)):
                tasks = [(seed, inputs, max_drop, among) for seed in range(draws)]
                found = np.array(pool.map(_draw, tasks, chunksize=5))
                lines = []
                for name, drop, cost in (("with", 0, 1), ("without" if among == "all" else "among all", 2, 3)):
                    broken = int((found[:, drop] > max_drop + 1e-12).sum())
                    interval = binomtest(broken, draws).proportion_ci()
                    lines.append(
                        f"{name} {broken / draws:.1%} [{interval.low:.1%}, {interval.high:.1%}] violations, "
                        f"cost {found[:, cost].mean():.1%}"
                    )
                print(f"{data.name}, drop {max_drop:.0%}, {inputs} inputs: {'; '.join(lines)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("optimality", "speed", "peers", "learned", "guarantee", "selective")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    arguments = parser.parse_args()
    files = [from_file(path) for path in arguments.files]
    small = from_synthetic()
    sets = [*files, small, from_digits()]
    if "optimality" in arguments.part:
        optimality([*files, small])
    if "speed" in arguments.part:
        speed()
    if "peers" in arguments.part:
        peers([*sets, from_synthetic(exits=8)])
    if "learned" in arguments.part:
        learned(sets)
    if "guarantee" in arguments.part:
        guarantee(files or [small])
    if "selective" in arguments.part:
        guarantee(files or [small], among="early")


if __name__ == "__main__":
    main()
