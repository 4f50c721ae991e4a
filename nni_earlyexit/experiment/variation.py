"""An experiment file with a few things changed, such as where the data lie, or all of it small to try it out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nni_earlyexit.utils import files
from nni_earlyexit.utils.checks import check_known

FILE = "varied-experiment.yml"

QUICK_FIELDS: Mapping[str, Any] = {"maxTrialNumber": 4, "maxExperimentDuration": "120s"}
QUICK_OPTIONS = (
    *("--epochs", "2", "--most-inputs", "1000"),
    *("--start", "warm"),  # four starts of Python, torch and NNI would take longer than the trainings
    *("--batch-size", "32", "--optimizer", "sgd", "--learning-rate", "0.05", "--precision", "float32"),
)
"""Fields of an experiment file and options of its trials that make an experiment end within three minutes on two cores."""

_PATHS = {"searchSpaceFile": "", "trialCodeDirectory": ".", "experimentWorkingDirectory": None}
"""Fields that are paths relative to the file, with the value that they have where they are not given."""


def varied(config: Path, folder: Path, *, options: Sequence[str] = (), fields: Mapping[str, Any] | None = None) -> Path:
    """Write the experiment file ``config`` to ``folder`` with ``options`` added to its trials' command; the new file.

    An option that is given twice has its last value. Paths in the file are made whole.
    """
    import yaml

    text = files.read_text(config, "config")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"config: {str(config)!r} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("trialCommand"), str):
        raise ValueError(f"config: {str(config)!r} has no trialCommand, which is what options are added to")
    check_known("fields", fields or {}, ["maxTrialNumber", "maxExperimentDuration"])
    base = config.parent.resolve()
    for name, usual in _PATHS.items():
        value = content.get(name, usual)
        if value and not str(value).startswith("~"):
            content[name] = str(base / str(value))
    content.update(fields or {})
    content["trialCommand"] = " ".join([content["trialCommand"], *map(shlex.quote, options)])
    path = folder / FILE
    if path.resolve() == config.resolve():
        raise ValueError(f"results: {str(folder)!r} is not possible; {str(config)!r} would be written over there")
    folder.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, lambda temporary: temporary.write_text(yaml.safe_dump(content, sort_keys=False)))
    return path
