"""Exported networks measured: ``python benchmarks/deployment.py BUNDLE --data DATA --part PART``.

``speed``   ``nni-earlyexit bench`` on the bundle
``equal``   exits and answers of PyTorch, onnxruntime's segments and the one file, on the whole test split
``faults``  10,000 bundles with one field changed, and files cut off at 100 places
``threads`` 8 threads on one predictor under changing budgets, for so many seconds
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.deploy import EarlyExitPredictor, bench, load_network
from nni_earlyexit.deploy.export import test_inputs
from nni_earlyexit.report import bench_report
from nni_earlyexit.runtime import Bundle, DamagedBundle, OnnxPredictor
from nni_earlyexit.runtime.bundle import ARCHITECTURE, MANIFEST, POLICY, manifest_of
from nni_earlyexit.runtime.onnx_predictor import NESTED
from nni_earlyexit.runtime.routing import every_logits

NEAR = 1e-5


def speed(bundle: Bundle, x: np.ndarray) -> None:
    """Print the table of the bundle's speed."""
    print(bench_report.table(bench(bundle, x[:1024], (1, 8, 64))))


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
            if name != MANIFEST and case % 2:  # as somebody would who renews the checksums too
                (folder / MANIFEST).write_text(json.dumps(manifest_of(folder, list(bundle.checksums))))
            seen[f"a field changed: {_outcome(folder, Path(name), right, x)}"] += 1
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


def threads(bundle: Bundle, x: np.ndarray, seconds: float) -> None:
    """Let 8 threads ask one predictor while budgets change, and print wrong answers and memory."""
    torch.set_num_threads(1)
    predictor = EarlyExitPredictor(bundle, device="cpu")
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--part", choices=("speed", "equal", "faults", "threads"), required=True)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=300)
    given = parser.parse_args()
    bundle = Bundle.load(given.bundle)
    x = test_inputs(bundle, DataSettings(given.data), given.inputs)
    if given.part == "speed":
        speed(bundle, x)
    elif given.part == "equal":
        equal(bundle, x)
    elif given.part == "faults":
        faults(bundle, x, given.cases)
    else:
        threads(bundle, x, given.seconds)


if __name__ == "__main__":
    main()
