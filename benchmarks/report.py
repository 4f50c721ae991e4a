"""Size of the report and seconds that writing it takes, by the number of trials.

    python benchmarks/report.py [trials ...]

Trials are of the digits space at random, with their real costs. Training a thousand networks would say nothing more about the
report: what their exits say is drawn, with the accuracy that it takes from the cost, for as many inputs as digits' splits have.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.metrics import NetworkFacts, diagnosed, diagnosis, measured
from nni_earlyexit.report.html.page import write_report
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files

VALIDATION, CALIBRATION, CLASSES = 269, 180, 10


def logits(rng: np.random.Generator, labels: np.ndarray, costs: list[int]) -> np.ndarray:
    """Outputs (inputs, exits, classes) that are right the more often the dearer an exit is."""
    signal = 1.2 * np.log10(np.array(costs) / 3e3)[:, None] + rng.normal(0, 0.15, (len(costs), 1))
    hardness = rng.exponential(1, len(labels))
    out = rng.normal(size=(len(labels), len(costs), CLASSES))
    out += (signal.T * (4 - hardness[:, None]))[:, :, None] * np.eye(CLASSES)[labels][:, None]
    return out.astype(np.float32)


def write_trial(folder: Path, space: object, settings: Settings, rng: np.random.Generator, labels: dict) -> None:
    """A finished trial of a random network."""
    sample = space.sample(rng)
    costs = space.all_costs(sample)
    steps = np.diff(costs.macs, prepend=0)
    branches = [int(step * share) for step, share in zip(steps, rng.uniform(0.02, 0.2, len(steps)), strict=True)]
    costs = dataclasses.replace(costs, branch_macs=branches)
    facts = NetworkFacts(sample, costs.stages, 4, costs)
    own = {name: logits(rng, y, costs.macs) for name, y in labels.items()}
    outcome = measured(facts, settings, own["validation"], labels["validation"], settings.training.epochs)
    diagnostics = diagnosed(settings, costs, outcome, labels["validation"])
    folder.mkdir(parents=True)
    arrays = {
        f"{name}_{kind}": value for name in own for kind, value in (("logits", own[name]), ("labels", labels[name]))
    }
    files.write_arrays(folder / record.OUTPUTS, {**arrays, "exit_costs": costs.macs, "branch_costs": branches})
    summary = {
        "format": record.UNCHECKED_FORMAT,
        "space": space.identity(),
        "sample": sample,
        "policy": outcome.policy.to_dict(),
        "metrics": {**outcome.metrics, **diagnosis(diagnostics), "train_seconds": 8.0},
        "exit_costs": list(costs.macs),
        "diagnostics": [diagnostic.to_dict() for diagnostic in diagnostics],
        "settings": settings.to_dict(),
    }
    files.write_json(folder / record.SUMMARY, summary)


def main(sizes: list[int]) -> None:
    rng = np.random.default_rng(0)
    space, settings = search_spaces.create("digits"), Settings.from_options(epochs=12, threads=1)
    from nni_earlyexit import data

    task = data.load_settings(settings.data, settings.training.seed)
    labels = {name: getattr(task, name).y.numpy() for name in ("validation", "calibration")}
    with tempfile.TemporaryDirectory() as temporary:
        experiment = Path(temporary) / "benchmark"
        places = experiment / "environments" / "local-env" / "trials"
        written = 0
        for size in sorted(sizes):
            while written < size:
                write_trial(places / f"t{written:04}", space, settings, rng, labels)
                written += 1
            path = Path(temporary) / "report.html"
            start = time.perf_counter()
            write_report([experiment], path, lambda line: None)
            seconds = time.perf_counter() - start
            content = path.read_text().partition('id="data">')[2].partition("</script>")[0]
            networks = len(json.loads(content)["experiments"][0]["networks"])
            print(
                f"{size} trials, {networks} networks that can be opened: {path.stat().st_size / 1e6:.2f} MB, of which "
                f"{len(content) / 1e6:.2f} MB of data, in {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [250, 1000])
