"""An experiment file with a few things changed, such as where the data lie, or all of it small to try it out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from nni_earlyexit.experiment import config as experiment_file
from nni_earlyexit.integration import trial_arguments
from nni_earlyexit.integration.search_space_file import written_identity
from nni_earlyexit.space.identity import parse
from nni_earlyexit.utils import files
from nni_earlyexit.utils.paths import expanded

FILE = "varied-experiment.yml"

QUICK_FIELDS: Mapping[str, Any] = {"maxTrialNumber": 4, "maxExperimentDuration": "120s"}
QUICK_EPOCHS = 2

_PATHS = {"searchSpaceFile": "", "trialCodeDirectory": ".", "experimentWorkingDirectory": None}
"""Fields that are paths relative to the file, with the value that they have where they are not given."""


def varied(config: Path, folder: Path, *, options: Sequence[str] = (), quick: bool = False) -> Path:
    """Write the experiment file ``config`` to ``folder`` with ``options`` added to its trials' command; the new file.

    An option that is given twice has its last value. Paths in the file are made whole. ``quick`` makes an experiment that ends
    within three minutes on two cores.
    """
    content = experiment_file.read(config)
    if "trialCommand" not in content:
        raise ValueError(f"config: {str(config)!r} has no trialCommand, which is what options are added to")
    base = config.parent.resolve()
    for name, usual in _PATHS.items():
        value = content.get(name, usual)
        if value:
            content[name] = str(base / expanded(str(value)))
    command = content["trialCommand"]
    if quick:
        given = trial_arguments.given(_with(command, options)) or {}
        command = _with(command, list(_quick_options(given, _identity(content))))
        content |= QUICK_FIELDS
    content["trialCommand"] = command = _with(command, options)
    assessor = content.get("assessor")
    if quick and isinstance(assessor, Mapping) and assessor.get("name") == experiment_file.ASSESSOR:
        epochs = (trial_arguments.given(command) or {}).get("epochs")
        arguments = {**(assessor.get("classArgs") or {}), "epochs": epochs, "first_rung": 1}
        content["assessor"] = {**assessor, "classArgs": arguments}
    path = folder / FILE
    if path.resolve() == config.resolve():
        raise ValueError(f"results: {str(folder)!r} is not possible; {str(config)!r} would be written over there")
    folder.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, lambda temporary: temporary.write_text(yaml.safe_dump(content, sort_keys=False)))
    return path


def results_beside(config: Path) -> Path:
    """The folder of results where none is given: beside the experiment file, or that in which a changed one lies."""
    return config.parent if config.name == FILE else config.parent / "results"


def _with(command: str, options: Sequence[str]) -> str:
    return " ".join([command, *map(shlex.quote, options)])


def _quick_options(given: Mapping[str, Any], space: str) -> Iterator[str]:
    """Options that make trials short; ``given`` are theirs so far.

    What was trained before must not be judged by other splits, nor a bank be filled by another recipe.
    """
    yield from ("--start", "warm")  # four starts of Python, torch and NNI would take longer than the trainings
    if given.get("bank") is not None:
        return
    yield from ("--epochs", str(QUICK_EPOCHS))
    yield from ("--batch-size", "32", "--optimizer", "sgd", "--learning-rate", "0.05", "--precision", "float32")
    if given.get("weights") is None and parse(space).name != "trained":
        yield from ("--most-inputs", "1000")


def _identity(content: Mapping[str, Any]) -> str:
    return written_identity(experiment_file.search_space(content, Path()))
