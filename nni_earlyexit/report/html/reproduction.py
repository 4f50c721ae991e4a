"""All that is needed to run a search again: versions, command, experiment file, and the settings of its trials."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from nni_earlyexit.report.html.experiment import Experiment

PACKAGES = ("nni-earlyexit", "nni", "torch", "torchvision", "timm", "numpy", "scikit-learn")
_OF_NNI = {"searchSpace", "experimentType", "nniManagerIp", "useAnnotation", "logCollection"}
"""Entries of NNI's configuration that are long, or its own."""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages on this machine."""
    result = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            result[name] = version(name)
        except PackageNotFoundError:
            continue
    return result


def reproduction(experiment: Experiment) -> dict[str, Any]:
    """The search space, the experiment file as YAML, commands, and each setting of the trials that is not the usual one."""
    import yaml

    config = {
        name: value
        for name, value in experiment.database.config.items()
        if name not in _OF_NNI and value not in (None, "", [], {})
    }
    spaces = {trial.space for trial in experiment.trials if trial.space is not None}
    changed: dict[str, list[Any]] = {}
    for trial in experiment.within() or experiment.trials:
        usual = type(trial.settings)().to_dict()
        for name, value in trial.settings.to_dict().items():
            values = changed.setdefault(name, [])
            if value != usual[name] and value not in values:
                values.append(value)
    command = ["nnictl create --config experiment.yml"] if config else []
    return {
        "folder": str(experiment.folder.resolve()),
        "spaces": sorted(spaces),
        "objectives": dict(experiment.objectives),
        "commands": command,
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True) if config else "",
        "settings": {name: values[0] if len(values) == 1 else values for name, values in changed.items() if values},
        "without_space": experiment.without_space,
    }
