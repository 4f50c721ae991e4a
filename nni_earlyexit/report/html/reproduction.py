"""All that is needed to run a search again: versions, command, experiment file, and the settings of its trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nni_earlyexit.report.html.experiment import Experiment
from nni_earlyexit.utils.provenance import PACKAGES

_OF_NNI = {"searchSpace", "experimentType", "nniManagerIp", "useAnnotation", "logCollection"}
"""Entries of NNI's configuration that are long, or its own."""
_OF_THE_PLACE = {"experimentWorkingDirectory", "trialCodeDirectory", "searchSpaceFile", "debug", "logLevel"}
"""Entries that are where the experiment was, or that change nothing."""


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
    return {
        "folder": str(experiment.folder.resolve()),
        "spaces": sorted(spaces),
        "objectives": dict(experiment.objectives),
        "commands": [_command(config)] if config else [],
        "made_with": made_with(experiment),
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True) if config else "",
        "settings": {name: values[0] if len(values) == 1 else values for name, values in changed.items() if values},
        "without_space": experiment.without_space,
    }


def made_with(experiment: Experiment) -> list[dict[str, str]]:
    """Versions, commit and machine of the trials that say so, each combination once."""
    combinations: list[dict[str, str]] = []
    for trial in experiment.trials:
        if trial.made_with and dict(trial.made_with) not in combinations:
            combinations.append(dict(trial.made_with))
    return combinations


def script(experiment: Experiment) -> str:
    """The commands that make the search again, for a shell in an empty folder.

    Raises ``ValueError`` where NNI's database does not say how it was made.
    """
    import yaml

    config = experiment.database.config
    if not {"trialCommand", "searchSpace"} <= config.keys() or config.get("experimentType", "hpo") != "hpo":
        raise ValueError(
            f"reproduce: {experiment.name!r} has no experiment file; a NasExperiment is made again by the script that made it"
        )
    if not isinstance(config["searchSpace"], Mapping):
        raise ValueError(f"reproduce: the searchSpace of {experiment.name!r} is none")
    left_out = (_OF_NNI | _OF_THE_PLACE) - {"nniManagerIp"}  # by which workers find it
    file = {name: value for name, value in config.items() if name not in left_out and value not in (None, "", [], {})}
    service = file.get("trainingService")
    if isinstance(service, Mapping):
        file["trainingService"] = {
            name: value
            for name, value in service.items()
            if name not in {*left_out, "trialCommand"} and value is not None
        }
    file["searchSpaceFile"] = "search_space.json"
    lines = [
        f"# The search {experiment.name} again, {len(experiment.trials)} trials, {config.get('trialConcurrency')} at a time.",
        "# One at a time on the same machine, they are the same, bit for bit; several at a time end in another order, by which",
        "# the strategy goes. Data that it names must lie where they lay.",
    ]
    for made in made_with(experiment):
        lines.append("# made with " + ", ".join(f"{name} {value}" for name, value in made.items()))
        if "commit" in made:
            lines.append(f"#   git checkout {made['commit'].removesuffix('-dirty')}")
        packages = " ".join(f"{name}=={made[name]}" for name in PACKAGES[1:] if name in made)
        lines.append(f"#   pip install {packages}")
    # what is read from files must not end a comment
    lines = ["# " + " ".join(line.split()).lstrip("# ") for line in lines]
    choices = ",\n".join(
        f"  {json.dumps(label)}: {json.dumps(values)}" for label, values in config["searchSpace"].items()
    )
    lines += ["set -eu", _written("search_space.json", f"{{\n{choices}\n}}")]
    lines += [_written("experiment.yml", yaml.safe_dump(file, sort_keys=False, allow_unicode=True).rstrip())]
    return "\n".join([*lines, _command(config)])


def _command(config: Mapping[str, Any]) -> str:
    service = config.get("trainingService")
    # plain nnictl listens for everybody; it is left to platforms that reach the manager in no other way
    if isinstance(service, Mapping) and service.get("platform") not in (None, "local", "remote"):
        return "nnictl create --config experiment.yml"
    return "nni-earlyexit run experiment.yml"


def _written(name: str, text: str) -> str:
    """A command of a shell that writes ``text`` to a file, whatever is in it."""
    end = "END"
    while end in text:
        end += "_"
    return f"cat > {name} <<'{end}'\n{text}\n{end}"
