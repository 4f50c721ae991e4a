"""Exported networks measured: ``python benchmarks/deployment.py BUNDLE --data DATA --part PART``.

``speed``   ``nni-earlyexit bench`` on the bundle
``equal``   exits and answers of PyTorch, onnxruntime's segments and the one file, on the whole test split
``faults``  10,000 bundles with one field changed, and files cut off at 100 places
``threads`` 8 threads on one predictor under changing budgets, for so many seconds
``decision`` microseconds of the decision at each exit, by measure
``shrink``  batches that shrink as inputs leave, beside running everything for all and choosing afterwards; a picture too
``int8``    8-bit integers beside float32, with exits and without: accuracy on all test inputs, seconds, size on disk
``earlyon`` earlyon 0.3.0 on the same backbone: average MACs and seconds of the cheapest policies with the same drop

earlyon wraps the network as it is run here without exits (normalisations folded, channels last), so that only exits, cutoffs
and what runs them differ. It is compared twice: with heads of its own, which its trainer trains on the frozen backbone at the
stages of ours, and with our trained branches as its heads. Its calibration, its grid, is asked for many drops on the
calibration split; of what it gives, as of the policies of the bundle, that one counts which has the least average MACs for one
input at a time and loses at most ``--drop`` of the backbone's accuracy on the test split, for this comparison alone. A batch of
earlyon leaves when its hardest input may, so its batches have other answers and MACs than single inputs. It is left out where
it cannot be imported (pip install --no-deps earlyon==0.3.0; it needs click and fvcore).

In the last three parts each batch is answered three times and the shortest counts, for other work may run beside.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nni_earlyexit import data
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.splits import Data, Split
from nni_earlyexit.deploy import EarlyExitPredictor, bench, load_network
from nni_earlyexit.deploy.bench import onnx_static, static_session, torch_static
from nni_earlyexit.deploy.export import RANGE_INPUTS, test_data
from nni_earlyexit.deploy.quantise import quantise_segments
from nni_earlyexit.deploy.segments import TorchSegments, fast_segments
from nni_earlyexit.report import bench_report
from nni_earlyexit.runtime import Bundle, DamagedBundle, OnnxPredictor
from nni_earlyexit.runtime.bundle import ARCHITECTURE, FLOAT32, INT8, MANIFEST, POLICY, manifest_of
from nni_earlyexit.runtime.onnx_predictor import NESTED, OnnxSegments, segment_file
from nni_earlyexit.runtime.routing import Router, Segments, every_logits, measure
from nni_earlyexit.thresholds.confidence import LEARNED, MEASURES, SEQUENTIAL
from nni_earlyexit.thresholds.optimizer import ThresholdOptimizer
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.tables import aligned
from torch import nn

NEAR = 1e-5
CPU = torch.device("cpu")
ROUNDS = 3
"""Times that a batch is answered, of which the shortest counts."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
DROPS = np.arange(0, 0.0501, 0.0025)
"""Drops on the calibration split that earlyon is asked for."""


def speed(bundle: Bundle, x: np.ndarray, y: np.ndarray) -> None:
    """Print the table of the bundle's speed."""
    print(bench_report.table(bench(bundle, x[:1024], y[:1024], (1, 8, 64))))


def in_turns(ways: dict[str, Callable[[Any], Any]], batches: Sequence[Any]) -> dict[str, np.ndarray]:
    """Seconds (batches,) of each way, the shortest of each batch.

    64 inputs are one way's turn, before which it answers one batch that does not count.
    """
    seconds = {name: np.full(len(batches), np.inf) for name in ways}
    block = max(1, 64 // len(batches[0]))
    for _ in range(ROUNDS):
        for start in range(0, len(batches), block):
            for name, way in ways.items():
                way(batches[start])
                for place in range(start, min(start + block, len(batches))):
                    begin = time.perf_counter()
                    way(batches[place])
                    seconds[name][place] = min(seconds[name][place], time.perf_counter() - begin)
    return seconds


def sliced(x: Any, size: int) -> list[Any]:
    """Batches of this size; the rest is left out."""
    return [x[start : start + size] for start in range(0, len(x) - size + 1, size)]


def shrink(bundle: Bundle, x: np.ndarray, picture: Path) -> None:
    """Print and draw seconds of running all and choosing afterwards, over those of batches that shrink."""
    x = x[:512]
    exits = len(bundle.architecture.exit_costs)
    engines: dict[str, Segments[Any]] = {"PyTorch": TorchSegments(load_network(bundle), CPU)}
    if segment_file(0) in bundle.checksums:
        engines["onnxruntime"] = OnnxSegments.of_bundle(bundle, threads=1)
    confidences = ExitPolicy((0.0, *[np.inf] * (exits - 2), -np.inf)).confidences(every_logits(engines["PyTorch"], x))[
        :, 0
    ]
    order = np.argsort(-confidences)
    ratios: dict[str, np.ndarray] = {}
    macs: list[float] = []
    for engine, segments in engines.items():
        timings = measure(segments, x[: max(SIZES)])
        tables = {
            name: np.zeros((len(SHARES), len(SIZES)))
            for name in ("what pays is taken out", "whatever left is taken out")
        }
        for row, share in enumerate(SHARES):
            leaving = round(share * len(x))
            cutoff = float(confidences[order[leaving - 1 : leaving + 1]].mean())
            policy = ExitPolicy((cutoff, *[np.inf] * (exits - 2), -np.inf))
            spent = np.asarray(bundle.costs_under(policy))
            macs.append(spent[-1] / (share * spent[0] + (1 - share) * spent[-1]))
            # spread evenly, so that each batch has the share
            turns = np.floor(np.arange(1, len(x) + 1) * leaving / len(x)) > np.floor(
                np.arange(len(x)) * leaving / len(x)
            )
            places = np.empty(len(x), dtype=int)
            places[turns], places[~turns] = order[:leaving], order[leaving:]
            for column, size in enumerate(SIZES):
                routers = (Router(segments, bundle.architecture.num_classes, own) for own in (timings, None))
                ways: dict[str, Callable[[Any], Any]] = {
                    name: partial(router, policy=policy, spent=spent)
                    for name, router in zip(tables, routers, strict=True)
                }
                ways["all"] = partial(all_then_choose, segments, policy)
                seconds = in_turns(ways, sliced(x[places], size))
                for name, table in tables.items():
                    table[row, column] = seconds["all"].sum() / seconds[name].sum()
        ratios[engine] = tables["what pays is taken out"]
        for name, table in tables.items():
            print(f"{engine}, {name}: seconds of running all for all / seconds")
            lines = [
                [f"{share:.0%}", *(f"{own:.2f}" for own in table[row]), f"{macs[row]:.2f}"]
                for row, share in enumerate(SHARES)
            ]
            print(aligned(["leave early", *map(str, SIZES), "of MACs"], lines), end="\n\n")
    draw_shrink(ratios, macs, picture)


def all_then_choose(segments: Segments[Any], policy: ExitPolicy, x: np.ndarray) -> np.ndarray:
    """The logits (inputs, classes) of the exit that each input leaves at, after all ran for all."""
    batch, logits = segments.begin(x), []
    for segment in range(segments.count):
        batch, own = segments.run(segment, batch, with_exit=segment in policy.kept)
        if own is not None:
            logits.append(own)
    every = np.stack(logits, axis=1)
    chosen: np.ndarray = every[np.arange(len(x)), policy.pruned().exits(every)]
    return chosen


def draw_shrink(ratios: dict[str, np.ndarray], macs: Sequence[float], picture: Path) -> None:
    """Draw the ratios of each engine over batch sizes, and those of MACs."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (engine, table) in zip(
        figure.subplots(1, len(ratios), sharey=True, squeeze=False)[0], ratios.items(), strict=True
    ):
        for row, share in enumerate(SHARES):
            color = colormaps["viridis"](0.9 - 0.8 * row / (len(SHARES) - 1))
            axes.plot(SIZES, table[row], "o-", color=color, markersize=4, label=f"{share:.0%} leave at the first exit")
            axes.axhline(macs[row], color=color, linestyle=":", linewidth=1)
        axes.plot([], [], ":", color="0.4", label="by MACs")
        axes.axhline(1, color="0.3", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ticks = [1, 1.5, 2, 3]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xticks(SIZES, [str(size) for size in SIZES])
        axes.set_title(engine)
        axes.set_xlabel("inputs at a time")
        axes.spines[["top", "right"]].set_visible(False)
    left = figure.axes[0]
    left.set_ylabel("times as fast as running all for all")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(picture, dpi=110)


def int8(bundle: Bundle, x: np.ndarray, y: np.ndarray, task: Data) -> None:
    """Print accuracy, seconds and size of floats and 8-bit integers in onnxruntime, with exits and without."""
    network = load_network(bundle)
    places = np.linspace(0, len(task.train) - 1, min(RANGE_INPUTS, len(task.train))).astype(np.int64)
    ranges, _ = Batches(task.train, len(places)).some(places)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        static = onnx_static(network, place, threads=1)
        quantise_segments(place, 1, ranges.numpy())
        answers: dict[str, Callable[[Any], Any]] = {}
        sizes: dict[str, list[Path]] = {}
        accuracies: dict[str, tuple[float, float]] = {}
        for numbers in (FLOAT32, INT8):
            policy, spent = bundle.fit(numbers).policy, np.asarray(bundle.costs_under(bundle.fit(numbers).policy))
            segments = OnnxSegments.of_bundle(bundle, numbers, threads=1)
            # timings are measured for 64 at a time, as by ``OnnxPredictor.measure``
            router = Router(segments, bundle.architecture.num_classes, measure(segments, x[:64]))
            name = f"{numbers}, exits"
            answers[name] = partial(router, policy=policy, spent=spent)
            sizes[name] = [bundle.file(segment_file(segment, numbers)) for segment in range(segments.count)]
            said = [answers[name](batch) for batch in np.array_split(x, -(-len(x) // 64))]
            right = np.concatenate([own.classes for own in said]) == y
            accuracies[name] = float(right.mean()), float(np.concatenate([own.macs for own in said]).mean())
            name = f"{numbers}, static"
            sizes[name] = [place / segment_file(0, numbers)]
            answers[name] = static if numbers == FLOAT32 else static_session(sizes[name][0], threads=1)
            logits = np.concatenate([answers[name](batch) for batch in np.array_split(x, -(-len(x) // 64))])
            accuracies[name] = float((logits.argmax(axis=-1) == y).mean()), float(bundle.architecture.static_macs)
        seconds = {size: in_turns(answers, sliced(x[:512], size)) for size in (1, 8, 64)}
        lines = [
            [
                name,
                f"{accuracies[name][0]:.2%}",
                format_macs(accuracies[name][1]),
                *(f"{1e3 * np.median(own[name]):.3f}" for own in seconds.values()),
                *(f"{own['float32, static'].mean() / own[name].mean():.2f}" for own in seconds.values()),
                f"{sum(path.stat().st_size for path in sizes[name]) / 1e6:.2f}",
            ]
            for name in answers
        ]
    heads = ["onnxruntime", "accuracy", "average MACs", *(f"p50 ms, {size}" for size in seconds)]
    print(f"{len(x):,} test inputs; speed-up beside float32 without exits")
    print(aligned([*heads, *(f"speed-up, {size}" for size in seconds), "MB"], lines))


class Batches:
    """Batches of a split, as the first segment takes them, and their classes: what earlyon calls a loader."""

    def __init__(self, split: Split, size: int, *, shuffle: bool = False) -> None:
        self.split, self.size, self.shuffle = split, size, shuffle
        self._rng = np.random.default_rng(0)

    def some(self, places: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The inputs at these places, and their classes."""
        x = self.split.raw(places)
        x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x, self.split.y[places]

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        places = self._rng.permutation(len(self.split)) if self.shuffle else np.arange(len(self.split))
        for start in range(0, len(places), self.size):
            yield self.some(places[start : start + self.size])


def earlyon(bundle: Bundle, task: Data, drop: float, epochs: int) -> None:
    """Print average MACs and seconds of earlyon's ways and ours that lose at most ``drop`` on the test split."""
    try:
        from earlyon.core.thresholds import calibrate_thresholds, collect_head_logits
        from earlyon.models.custom import custom_ee
        from earlyon.training.two_stage_trainer import stage2_train_exits
    except ImportError as error:
        print(f"earlyon is not compared: {error}")
        return
    network = load_network(bundle)
    segments = fast_segments(network, CPU)
    own = bundle.architecture
    names = [str(stage) for stage in range(len(segments) - 1)]
    x, y = Batches(task.test, 64).some(np.arange(len(task.test)))
    until = np.array(own.exit_costs) - np.cumsum(own.branch_costs)  # of the backbone alone
    until[-1] += own.branch_costs[-1]
    models, heads = {}, {}
    for name in ("earlyon, its heads", "earlyon, our branches"):
        torch.manual_seed(0)
        backbone = nn.Sequential(*(segment.body for segment in segments), segments[-1].branch).eval()
        model = custom_ee(backbone, names, own.num_classes, input_shape=(1, *own.input_shape))
        heads[name] = [point.in_channels * 128 + 128 * own.num_classes for point in model.config.exit_points]
        if name == "earlyon, its heads":
            begin = time.perf_counter()
            train = Batches(task.train, 128, shuffle=True)
            stage2_train_exits(model, train, epochs=epochs, on_epoch_end=lambda log: print(log, file=sys.stderr))
            print(f"{name}: {epochs} epochs of them in {time.perf_counter() - begin:.0f} s")
        else:
            for point, segment in zip(model.config.exit_points, segments, strict=False):
                model.exit_heads[point.name] = segment.branch
            heads[name] = list(own.branch_costs[:-1])
        models[name] = model.eval()
    ours = EarlyExitPredictor(bundle, device="cpu")
    ours.watch = None
    ours.measure(64)
    logits = every_logits(ours._router.segments, x.contiguous().numpy())
    least = float((logits[:, -1].argmax(axis=-1) == y.numpy()).mean()) - drop
    print(f"accuracy of the backbone on {len(y):,} test inputs: {least + drop:.2%}, so at least {least:.2%} is needed")

    chosen: dict[str, tuple[float, float, Any]] = {}
    family = bundle.fit().family
    policies = [family.policy_of(point) for point in family.front]
    tried = []
    for policy in policies:
        exits = policy.exits(logits)
        right = logits.argmax(axis=-1)[np.arange(len(y)), exits] == y.numpy()
        tried.append((float(np.asarray(bundle.costs_under(policy))[exits].mean()), float(right.mean()), policy))
    chosen["ours"] = min(own for own in tried if own[1] >= least)
    ours.policy = chosen["ours"][2]
    for name, model in models.items():
        cache = collect_head_logits(model, Batches(task.test, 256), "cpu")
        every = torch.stack(cache.logits, dim=1)
        tried = []
        for asked in DROPS:
            calibrate_thresholds(model, Batches(task.calibration, 256), target_accuracy_drop=float(asked))
            on, cutoffs = model.config.enabled_exits, model.config.confidence_thresholds
            exits = torch.full((len(y),), len(on))
            for exit in reversed(range(len(on))):
                if on[exit]:
                    exits[every[:, exit].softmax(dim=-1).amax(dim=-1) >= cutoffs[exit]] = exit
            right = every.argmax(dim=-1)[torch.arange(len(y)), exits] == y
            spent = until + np.cumsum(
                [cost if run else 0 for cost, run in zip([*heads[name], 0], [*on, True], strict=True)]
            )
            tried.append(
                (float(spent[exits.numpy()].mean()), float(right.float().mean()), (list(on), list(cutoffs), spent))
            )
        chosen[name] = min((own for own in tried if own[1] >= least), key=lambda own: own[0])
        model.config.enabled_exits, model.config.confidence_thresholds, _ = chosen[name][2]

    some = x[:512]
    static = torch_static(network, CPU)
    single: dict[str, Callable[[Any], Any]] = {"without exits": lambda batch: static(batch.numpy())}
    single["ours"] = lambda batch: ours._router(batch.numpy(), ours.policy, np.asarray(bundle.costs_under(ours.policy)))
    many = dict(single)
    ours._router(some[:64].numpy(), ours.policy, np.asarray(bundle.costs_under(ours.policy)))
    for name, model in models.items():
        single[name] = partial(model, mode="inference")
        many[name] = model.forward_inference_batched
    alone, together = in_turns(single, sliced(some, 1)), in_turns(many, sliced(some, 64))
    whole = float(own.static_macs)
    lines = [["without exits", f"{least + drop:.2%}", format_macs(whole), "100%", "", format_macs(whole)]]
    for name, (macs, accuracy, _) in chosen.items():
        batch_macs = macs if name == "ours" else batched_macs(models[name], chosen[name][2][2], x)
        leaves = (
            ""
            if name == "ours"
            else " ".join(f"{cutoff:g}" if on else "-" for on, cutoff in zip(*chosen[name][2][:2], strict=True))
        )
        lines.append(
            [name, f"{accuracy:.2%}", format_macs(macs), f"{macs / whole:.1%}", leaves, format_macs(batch_macs)]
        )
    for line in lines:
        one, all_ = alone[line[0]], together[line[0]]
        line += [f"{1e3 * np.median(one):.3f}", f"{alone['without exits'].mean() / one.mean():.2f}"]
        line += [f"{64 / all_.mean():,.0f}", f"{together['without exits'].mean() / all_.mean():.2f}"]
    print(
        aligned(
            [
                "way",
                "accuracy, 1",
                "average MACs, 1",
                "of all",
                "cutoffs",
                "average MACs, 64",
                "p50 ms, 1",
                "speed-up, 1",
                "inputs/s, 64",
                "speed-up, 64",
            ],
            lines,
        )
    )


def batched_macs(model: Any, spent: np.ndarray, x: torch.Tensor) -> float:
    """Average MACs of an input when 64 leave together, ``spent`` until each exit."""
    taken = [model.forward_inference_batched(batch).exit_taken for batch in sliced(x, 64)]
    return float(np.mean([spent[exit] for exit in taken]))


def equal(bundle: Bundle, x: np.ndarray) -> None:
    """Print how often engines differ."""
    import onnxruntime

    torch_way, onnx_way = EarlyExitPredictor(bundle, device="cpu"), OnnxPredictor(bundle, threads=1)
    logits = every_logits(torch_way._router.segments, x)
    policy = bundle.policy
    near = (np.abs(policy.confidences(logits) - np.array(policy.cutoffs)[list(policy.kept[:-1])]) <= NEAR).any(axis=1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(bundle.file(NESTED)), options, providers=["CPUExecutionProvider"])
    alone = [session.run(["logits", "exit"], {"inputs": x[place : place + 1]}) for place in range(len(x))]
    print(f"{len(x):,} inputs, {near.sum()} of them within {NEAR:g} of a cutoff")
    for name, exits, probabilities in (
        ("onnxruntime, segments, 64 at a time", *_in_batches(onnx_way, x)),
        ("PyTorch, 64 at a time", *_in_batches(torch_way, x)),
        (
            "onnxruntime, one file",
            np.concatenate([exit for _, exit in alone]),
            torch.from_numpy(np.concatenate([own for own, _ in alone])).softmax(dim=1).numpy(),
        ),
    ):
        differ = exits != policy.exits(logits)
        own = torch.from_numpy(logits[np.arange(len(x)), exits]).softmax(dim=1).numpy()
        print(
            f"{name}: another exit for {differ.sum()} inputs, {(differ & ~near).sum()} of them not near a cutoff; "
            f"probabilities differ by {np.abs(own - probabilities).max():.1e} at most"
        )


def _in_batches(predictor: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    answers = [predictor(x[start : start + 64]) for start in range(0, len(x), 64)]
    return np.concatenate([a.exits for a in answers]), np.concatenate([a.probabilities for a in answers])


def faults(bundle: Bundle, x: np.ndarray, cases: int) -> None:
    """Change a bundle in many ways, and print what comes of it."""
    seen: Counter[str] = Counter()
    rng = random.Random(0)
    right = EarlyExitPredictor(bundle, device="cpu")(x[:4])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        shutil.copytree(bundle.folder, folder)
        for _ in range(100):
            path = folder / rng.choice(sorted(bundle.checksums))
            whole = path.read_bytes()
            path.write_bytes(whole[: rng.randrange(len(whole))])
            seen[f"cut off: {_outcome(folder, path.relative_to(folder), right, x)}"] += 1
            path.write_bytes(whole)
        for case in range(cases):
            name = rng.choice([ARCHITECTURE, POLICY, MANIFEST])
            whole = (folder / name).read_bytes()
            content = json.loads(whole)
            _change(content, rng)
            (folder / name).write_text(json.dumps(content))
            sealed = (folder / MANIFEST).read_bytes()
            renewed = name != MANIFEST and case % 2  # as somebody would who makes another bundle of it
            if renewed:
                (folder / MANIFEST).write_text(json.dumps(manifest_of(folder, list(bundle.checksums))))
            how = "a field changed, and the checksums renewed" if renewed else "a field changed"
            seen[f"{how}: {_outcome(folder, Path(name), right, x)}"] += 1
            (folder / name).write_bytes(whole)
            if name != MANIFEST:
                (folder / MANIFEST).write_bytes(sealed)
            if case % 1000 == 999:
                print(f"{case + 1:,} of {cases:,}", file=sys.stderr)
    for name, count in sorted(seen.items()):
        print(f"{count:6,} {name}")


def _change(content: Any, rng: random.Random) -> None:
    """Change one value of plain data in place."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = rng.choice(keys)
        inside = content[key]
        if isinstance(inside, (dict, list)) and inside and rng.random() < 0.9:
            content = inside
            continue
        odd = [None, True, -1, 0, 10**12, 0.5, float("nan"), "", "x", [], {}, [0], "module:os.system"]
        content[key] = rng.choice([value for value in odd if value != inside])
        return


def _outcome(folder: Path, changed: Path, right: Any, x: np.ndarray) -> str:
    """What somebody gets who uses all of a bundle one of whose files was changed."""
    try:
        bundle = Bundle.load(folder)
        for name in bundle.checksums:
            bundle.file(name)
        network = load_network(bundle)
        exits = network.predict(x[:4]).exits.numpy()
    except (DamagedBundle, FileNotFoundError) as error:
        return "named" if str(error) else "an empty sentence"
    except ValueError as error:
        return f"another sentence: {str(error)[:60]}"
    return "the right answer" if (exits == right.exits).all() else f"a WRONG answer after a change of {changed}"


def decision(bundle: Bundle, x: np.ndarray, y: np.ndarray) -> None:
    """Print the median time that a policy takes to decide at each exit for one input."""
    logits = every_logits(EarlyExitPredictor(bundle, device="cpu")._router.segments, x)
    exits = logits.shape[1]
    lines = []
    for name in (*MEASURES, *SEQUENTIAL, LEARNED):
        for temperatures in (None, (1.5,) * exits):
            policy = ExitPolicy((*[0.5] * (exits - 1), -np.inf), "max_prob", temperatures)
            if name == LEARNED:  # fitted to these inputs, for its time alone
                optimizer = ThresholdOptimizer(confidence=name, tolerance=0.0)
                optimizer.fit(logits, y, bundle.architecture.exit_costs)
                policy = replace(optimizer.policy_, temperatures=temperatures)
            else:
                policy = replace(policy, confidence=name)
            cells = []
            for place, exit in enumerate(policy.kept[:-1]):
                own = logits[:1, list(policy.kept[: place + 1])]
                own = own if policy.looks_back else own[:, -1:]
                seconds = []
                for _ in range(3000):
                    begin = time.perf_counter()
                    policy.leaves(own, exit)
                    seconds.append(time.perf_counter() - begin)
                cells.append(f"{1e6 * np.median(seconds):.1f}")
            lines.append([name, "no" if temperatures is None else "yes", " ".join(cells)])
    print(aligned(["measure", "temperatures", "us at each exit"], lines))


def threads(bundle: Bundle, x: np.ndarray, seconds: float) -> None:
    """Let 8 threads ask one predictor while budgets change, and print wrong answers and memory."""
    torch.set_num_threads(1)
    predictor = EarlyExitPredictor(bundle, device="cpu")
    predictor.watch = None  # a few inputs again and again are a shift
    front = bundle.fit().family
    policies = [front.policy_of(front.front[place]) for place in np.linspace(0, len(front.front) - 1, 5).astype(int)]
    x = x[:32]
    logits = every_logits(predictor._router.segments, x)
    near = np.zeros(len(x), dtype=bool)
    for policy in policies:
        cutoffs = np.array(policy.cutoffs)[list(policy.kept[:-1])]
        near |= (np.abs(policy.confidences(logits) - cutoffs) <= 1e-4).any(axis=1)
    x, logits = x[~near], logits[~near]
    allowed = {tuple(policy.exits(logits)) for policy in policies}
    predictor.policy = policies[0]
    stop, wrong, asked = threading.Event(), [0], [0]

    def ask() -> None:
        while not stop.is_set():
            asked[0] += 1
            try:
                right = tuple(predictor(x).exits) in allowed
            except Exception as error:
                print(repr(error))
                right = False
            wrong[0] += not right

    workers = [threading.Thread(target=ask) for _ in range(8)]
    for worker in workers:
        worker.start()
    start, sizes = time.monotonic(), []
    while time.monotonic() - start < seconds:
        predictor.policy = random.choice(policies)
        time.sleep(0.01)
        if len(sizes) < (time.monotonic() - start) / seconds * 10:
            sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6)
    stop.set()
    for worker in workers:
        worker.join()
    print(
        f"{asked[0]:,} batches of {len(x)} in {seconds:.0f} s by 8 threads, {wrong[0]} wrong, {len(allowed)} ways allowed"
    )
    print("resident memory over time, MB: " + " ".join(f"{size:.0f}" for size in sizes))


def main() -> None:
    """Run what the command line asks for."""
    parts = ("speed", "equal", "faults", "threads", "decision", "shrink", "int8", "earlyon")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--part", choices=parts, required=True)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--picture", type=Path, default=Path("shrink.png"), help="file that shrink draws")
    parser.add_argument("--drop", type=float, default=0.01, help="drop on the test split of earlyon (0.01)")
    parser.add_argument("--earlyon-epochs", type=int, default=4, help="epochs of earlyon's heads, 3 to 4 in its README")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bundle, settings = Bundle.load(given.bundle), DataSettings(given.data)
    if given.part == "earlyon":
        earlyon(bundle, task_of(bundle, settings), given.drop, given.earlyon_epochs)
        return
    x, y = test_data(bundle, settings, given.inputs)
    if given.part == "speed":
        speed(bundle, x, y)
    elif given.part == "equal":
        equal(bundle, x)
    elif given.part == "decision":
        decision(bundle, x, y)
    elif given.part == "faults":
        faults(bundle, x, given.cases)
    elif given.part == "threads":
        threads(bundle, x, given.seconds)
    elif given.part == "shrink":
        shrink(bundle, x, given.picture)
    else:
        int8(bundle, x, y, task_of(bundle, settings))


def task_of(bundle: Bundle, settings: DataSettings) -> Data:
    """The data that the bundle's network was trained on, with its splits."""
    network = load_network(bundle)
    task = data.load_settings(settings.for_shape(network.input_shape), int(bundle.fit().fitted_to["seed"]))
    return task.for_network(network)


if __name__ == "__main__":
    main()
