"""Every search space with every strategy of NNI's, our strategies on NNI's own spaces, and NNI's middleware around them.

    pip install ".[rl]"
    python benchmarks/nni_table.py [--write]

Each cell is a NasExperiment of its own process on small real data, one epoch, three networks or one supernet. ``--write``
puts the tables into docs/nni.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[1] / "docs" / "nni.md"
LIMIT_S = 300
NETWORKS = 3
WORKERS = 2

# narrow and small, so that a cell is short
SPACES = {
    "digits": "digits",
    "mobilenetv3": "mobilenetv3 width=0.25 resolution=16",
    "resnet": "resnet channels=16 resolution=16",
    "mobilenetv4": "mobilenetv4 width=0.25 resolution=16",
    "vit": "vit channels=32 resolution=16",
    "text": "text channels=32 tokens=32 vocabulary=2000 num_classes=4",
    "timm:resnet18": "timm:resnet18 resolution=32 num_classes=10",
}
MULTI_TRIAL = ("Random", "GridSearch", "RegularizedEvolution", "TPE", "PolicyBasedRL")
ONE_SHOT = ("RandomOneShot", "ENAS", "DARTS", "GumbelDARTS", "Proxyless")
DIFFERENTIABLE = ("DARTS", "GumbelDARTS", "Proxyless")
HUB = ("MobileNetV3Space", "ShuffleNetSpace", "ProxylessNAS", "NasBench201")
OURS = ("nsga2", "random")
MIDDLEWARE = ("Filter", "Deduplication", "MultipleEvaluation", "MedianStop")


def sentences(file: Path, tokens: int, vocabulary: int) -> str:
    """Sentences of scikit-learn's descriptions of data sets, to be told apart, as token ids in a ``.npz`` file."""
    import numpy as np
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "descr"
    rows, labels = [], []
    longest = sorted(folder.glob("*.rst"), key=lambda text: text.stat().st_size)[-4:]
    known: dict[str, int] = {}
    for label, text in enumerate(longest):
        for sentence in re.split(r"(?<=[.:])\s+", text.read_text()):
            words = re.findall(r"[a-z]+", sentence.lower())[:tokens]
            if len(words) >= 4:
                ids = [known.setdefault(word, 1 + len(known) % (vocabulary - 1)) for word in words]
                rows.append(ids + [0] * (tokens - len(ids)))
                labels.append(label)
    np.savez(file, x=np.array(rows), y=np.array(labels))
    return str(file)


def evaluator(input_shape: tuple[int, ...], folder: Path) -> Any:
    import nni_earlyexit

    if len(input_shape) == 1:
        data = sentences(folder / "sentences.npz", *input_shape, vocabulary=2000)
        return nni_earlyexit.EarlyExitEvaluator(data=data, epochs=1, batch_size=32)
    return nni_earlyexit.EarlyExitEvaluator(data="digits", epochs=1, batch_size=256, input_shape=input_shape)


def theirs(name: str) -> Any:
    """A strategy of NNI's, with what it needs to be told."""
    from nni.nas import strategy
    from nni_earlyexit.space import oneshot

    arguments: dict[str, Any] = {
        "RegularizedEvolution": {"population_size": 2, "sample_size": 1},
        "TPE": {"optimize_mode": "maximize"},
        "PolicyBasedRL": {"samples_per_update": 2},
        "ENAS": {"reward_metric_name": "default", "batches_per_update": 2},
    }.get(name, {})
    return (oneshot.ENAS if name == "ENAS" else getattr(strategy, name))(**arguments)


def experiment(space: Any, evaluator: Any, strategy: Any) -> Any:
    """Run a NasExperiment in this process; the experiment when it has ended."""
    from nni.nas.experiment import NasExperiment
    from nni.nas.experiment.config import NasExperimentConfig
    from nni.nas.oneshot.pytorch.strategy import OneShotStrategy

    run = NasExperiment(space, evaluator, strategy)
    if not isinstance(strategy, OneShotStrategy):
        run.config = NasExperimentConfig("sequential", "simplified", "local")
        run.config.max_trial_number = NETWORKS
    run.run(port=None)
    return run


def cell(kind: str, row: str, column: str, folder: Path) -> str:
    """Run one cell; what it ended in."""
    import nni_earlyexit
    from nni_earlyexit import search_spaces

    if kind == "space":
        fixed = ""
        if column in DIFFERENTIABLE:
            stages = len(search_spaces.create(SPACES[row]).network.stages)
            fixed = f" fixed_exits={','.join(map(str, range(stages - 1)))},"
        space = search_spaces.create(SPACES[row] + fixed)
        run = experiment(space, evaluator(space.input_shape, folder), theirs(column))
        best = run.export_top_models(1, formatter="dict")
        best = best[0] if isinstance(best, list) else next(iter(best))
        again = search_spaces.create(SPACES[row] + fixed)
        return "ok" if again.freeze(best).exit_costs else "no network"

    strategy = nni_earlyexit.SearchStrategy(nni_earlyexit.strategies.create(column if kind == "hub" else "nsga2"))
    if kind == "hub":
        from nni.nas.hub import pytorch as hub

        space = getattr(hub, row)(num_labels=10)
    else:
        from nni.nas.strategy import middleware
        from nni_earlyexit.integration.middleware import MultipleEvaluation

        space = search_spaces.create("digits")
        wrapped = {
            "Filter": lambda: middleware.Filter(lambda model: space.exit_costs(model.sample)[-1] < 2e6),
            "Deduplication": lambda: middleware.Deduplication("invalid"),
            "MultipleEvaluation": lambda: MultipleEvaluation(2),
            "MedianStop": middleware.MedianStop,
        }[row]()
        ours = strategy
        strategy = middleware.Chain(ours, wrapped)
        run = experiment(space, evaluator(space.input_shape, folder), strategy)
        # NNI's budget counts what is evaluated twice as two
        return _found(ours, NETWORKS - 1 if row == "MultipleEvaluation" else NETWORKS)
    run = experiment(space, evaluator((3, 32, 32), folder), strategy)
    return _found(strategy, NETWORKS)


def _found(strategy: Any, wanted: int) -> str:
    finished = [trial for trial in strategy.strategy.trials.values() if trial.losses is not None]
    enough = len(finished) == wanted and strategy.strategy.front()
    return "ok" if enough else f"{len(finished)} of {wanted} networks finished"


def run(kind: str, row: str, column: str) -> str:
    """A cell in a process of its own: seconds, or the reason why not."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", __file__, "cell", kind, row, column, folder]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", "HOME": folder},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"no end in {LIMIT_S} s"
    lines = (done.stdout + done.stderr).strip().splitlines()
    result = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if result == ["ok"]:
        return f"{time.perf_counter() - start:.0f} s"
    return (result or [line for line in lines if "Error" in line] or lines or ["no output"])[-1][:160]


def table(kind: str, rows: tuple[str, ...], columns: tuple[str, ...]) -> list[str]:
    found = [f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    with ThreadPoolExecutor(WORKERS) as pool:
        cells = {(row, column): pool.submit(run, kind, row, column) for row in rows for column in columns}
        for row in rows:
            for column in columns:
                print(f"{kind} {row} x {column}: {cells[row, column].result()}", flush=True)
            found.append(f"| {row} | {' | '.join(cells[row, column].result() for column in columns)} |")
    return found


def main(write: bool) -> None:
    tables = {
        "multi-trial": table("space", tuple(SPACES), MULTI_TRIAL),
        "one-shot": table("space", tuple(SPACES), ONE_SHOT),
        "hub": table("hub", HUB, OURS),
        "middleware": table("middleware", MIDDLEWARE, ("nsga2",)),
    }
    for name, lines in tables.items():
        print(f"\n{name}\n" + "\n".join(lines))
    if write:
        text = DOCUMENT.read_text()
        for name, lines in tables.items():
            pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
            text = re.sub(pattern, lambda m, lines=lines: m[1] + "\n".join(lines) + "\n" + m[2], text, flags=re.S)
        DOCUMENT.write_text(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["cell"]:
        print("RESULT", cell(*sys.argv[2:5], Path(sys.argv[5])), flush=True)
    else:
        main("--write" in sys.argv)
