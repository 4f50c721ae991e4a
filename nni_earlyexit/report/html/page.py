"""The page: data, library and script in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.evaluation.record import Record
from nni_earlyexit.evaluation.stored_outputs import short_name
from nni_earlyexit.report.html import failures, importance, network, pictures, progress, reproduction, trials
from nni_earlyexit.report.html.experiment import Experiment, read
from nni_earlyexit.report.html.network import Fitted
from nni_earlyexit.utils import files
from nni_earlyexit.utils.errors import sentence
from nni_earlyexit.utils.progress import Say
from nni_earlyexit.utils.provenance import made_with

MOST_NETWORKS = 40
"""Most networks of a front that the page opens, spread over it."""
SCRIPTS = ("text", "charts", "front", "drawing", "network", "search", "parallel", "trials", "about", "main")
"""The page's scripts, in the order in which they build on each other."""


def write_report(
    folders: Sequence[Path], path: Path, say: Say = print, *, refresh_s: float | None = None, judged: Path | None = None
) -> list[Experiment]:
    """Write the report of the experiments in ``folders`` to ``path``; returns them as they were read.

    Parameters
    ----------
    folders
        Folders of one or more experiments, which are shown side by side.
    path
        The HTML file.
    say
        Hears of trials that cannot be read, and of the file.
    refresh_s
        Seconds after which the page loads itself again, while a search runs.
    judged
        A ``front.json`` of ``nni-earlyexit front``, whose test results are shown beside the validation results.

    Raises
    ------
    ValueError
        For a folder without trials, or a ``front.json`` that is none.
    """
    tested = {} if judged is None else _tested(judged)
    experiments = [read(folder) for folder in folders]
    content = {
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": made_with(),
        "refresh_s": refresh_s,
        "experiments": [
            {**_one(experiment, tested), "progress": rows}
            for experiment, rows in zip(experiments, progress.progress(experiments), strict=True)
        ],
    }
    for experiment in experiments:
        for line in experiment.damaged:
            say(f"left out: {line}")
    text = page(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return experiments


def _one(experiment: Experiment, tested: Mapping[str, Any]) -> dict[str, Any]:
    """Everything about one experiment, as plain data."""
    shown = [trial for trial in _spread(experiment.front) if trial.policy is not None]
    fitted: list[Fitted] = []
    unusable = []
    for trial in shown:
        try:
            fitted.append(network.fit(trial))
        except (ValueError, OSError) as error:
            unusable.append(f"{trial.folder.name}: {sentence(error)}")
    alike = [own for own in fitted if np.array_equal(own.labels, fitted[0].labels)]
    members = pictures.chosen(alike)
    images = pictures.pictures(experiment, alike, members)
    if not images["images"]:
        members = members[:0]
    choices = trials.choices(experiment)
    networks = []
    for own in fitted:
        row = network.network(experiment, own, members if any(own is other for other in alike) else members[:0])
        networks.append({**row, "test": tested.get(own.trial.folder.name)})
    return {
        "name": experiment.name,
        "argument": shlex.quote(short_name(experiment.folder)),
        "title": str(experiment.database.config.get("experimentName") or ""),
        "trials": trials.columns(experiment),
        "choices": choices,
        "static": trials.static_front(experiment),
        "networks": networks,
        "left_out": len(experiment.front) - len(shown),
        "unusable": unusable,
        "pictures": images,
        "importance": importance.importances(experiment, choices),
        "failures": failures.failures(experiment),
        "reproduction": reproduction.reproduction(experiment),
    }


def _spread(front: Sequence[Record]) -> list[Record]:
    """At most ``MOST_NETWORKS`` of a front, its ends included."""
    if len(front) <= MOST_NETWORKS:
        return list(front)
    return [front[i] for i in np.linspace(0, len(front) - 1, MOST_NETWORKS).round().astype(int)]


def _tested(path: Path) -> dict[str, Any]:
    """Test results by the name of the trial, as ``nni-earlyexit front`` wrote them."""
    content = files.read_json(path, "judged")
    try:
        return {
            Path(member["trial_folder"]).name: {
                "accuracy": float(member["test"]["accuracy"]),
                "avg_macs": float(member["test"]["avg_macs"]),
                "interval": [float(end) for end in member["test"]["interval"]],
            }
            for member in content["front"]
        }
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"judged: {str(path)!r} is not possible; a front.json of 'nni-earlyexit front' is") from None


def page(content: Mapping[str, Any]) -> str:
    """The HTML of the page that shows ``content``."""
    names = ", ".join(experiment["name"] for experiment in content["experiments"])
    data = json.dumps(content, separators=(",", ":"), allow_nan=False)
    script = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    parts = {
        "title": _escaped(names),
        "style": _asset("page.css"),
        # in JSON a < stands in texts only, where it may be written so; in HTML it could end the script
        "data": data.replace("<", "\\u003c"),
        "plotly": _plotly(),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _asset("page.html"))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


@cache
def _asset(name: str) -> str:
    return (resources.files("nni_earlyexit.report.html") / "assets" / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    """plotly.js, compressed: the browser inflates it, and the file has 2 MB of it in place of 5."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
