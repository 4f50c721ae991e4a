"""Fit cutoffs to stored outputs, for another goal than the search's: no training, no network, no test data.

Cutoffs are fitted to the ``calibration`` arrays of an outputs file (:mod:`nni_earlyexit.thresholds.outputs_file`), as every
trial leaves. Where the file has ``test`` arrays too, the chosen policy is judged on them, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nni_earlyexit.evaluation import record
from nni_earlyexit.utils.checks import lookup, unknown
from nni_earlyexit.utils.paths import expanded


@dataclass(frozen=True)
class Source:
    """The file of outputs, the folder for results, and the optimizer's arguments if none are given.

    ``trial`` is what the file is of, if it is of one.
    """

    outputs: Path
    folder: Path
    prefix: str
    arguments: dict[str, Any]
    trial: record.Record | None = None


def source(name: str, trial: str | None) -> Source:
    """The ``.npz`` file ``name``, or the outputs of ``trial`` of the experiment (ID or folder) ``name``."""
    if name.endswith(".npz") and trial is None:
        path = Path(name)
        return Source(path, path.parent, f"{path.stem}.", {})
    experiment = experiment_folder(name)
    folders = {folder.name: folder for folder in sorted(experiment.glob("environments/*/trials/*"))}
    if trial is None:
        some = ", ".join(list(folders)[:3]) or "none"
        raise ValueError(f"trial: --trial is needed with an experiment; it has {len(folders)}, such as {some}")
    if trial not in folders:
        raise unknown("trial", trial, list(folders))
    finished = record.load(folders[trial])
    if finished is None or finished.policy is None:
        how = "is not finished" if finished is None else "missed a limit and was not trained"
        raise ValueError(f"trial: {trial!r} {how}, so it has no outputs")
    goal = finished.settings.goal
    ways = {"confidence": goal.confidence, "cutoffs": goal.cutoffs, "drop_exits": goal.drop_exits}
    arguments = {**asdict(finished.settings.operating_point), **ways}
    return Source(finished.file(record.OUTPUTS), finished.folder, "", arguments, finished)


def experiments() -> dict[str, Path]:
    """The folders of the experiments that NNI knows on this machine, by their IDs."""
    home = Path.home() / "nni-experiments"
    listed: Any = {}
    with suppress(OSError, ValueError, RecursionError):  # NNI writes its list in place: it may be cut off, or not there
        listed = json.loads((home / ".experiment").read_text())
    entries = listed.items() if isinstance(listed, Mapping) else ()
    places = {name: entry.get("logDir") for name, entry in entries if isinstance(entry, Mapping)}
    inside = {path.name: path for path in sorted(home.glob("[!._]*")) if path.is_dir()}
    elsewhere = {name: Path(place) / name for name, place in places.items() if isinstance(place, str)}
    return {**inside, **{name: folder for name, folder in elsewhere.items() if folder.is_dir()}}


def experiment_folder(name: str) -> Path:
    """The folder of an experiment, by its path or by the ID that NNI knows it by."""
    if expanded(name).is_dir():
        return expanded(name)
    return lookup(experiments(), name, "experiment")


def short_name(folder: Path) -> str:
    """The shortest name by which :func:`experiment_folder` finds an experiment in ``folder``: its ID, or else the path."""
    usual = experiments().get(folder.name)
    return folder.name if usual is not None and usual.resolve() == folder.resolve() else str(folder)
