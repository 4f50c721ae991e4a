"""The space of a bundle, without the files that weights once came from: the bundle has all weights itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation import record
from nni_earlyexit.runtime.bundle import Bundle
from nni_earlyexit.search_spaces.trained import BACKBONE
from nni_earlyexit.space import identity
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.utils.files import write_json

FOLDER = "backbone"
"""The folder of a bundle that says what the backbone of ``trained`` is."""
_FILES = ("weights", "pretrained")


def portable(space: EarlyExitSpace) -> str:
    """The identity of ``space`` that its networks have in a bundle."""
    arguments: dict[str, Any] = {name: value for name, value in space.arguments.items() if name not in _FILES}
    if "folder" in arguments:
        arguments["folder"] = FOLDER
    elif len(arguments) < len(space.arguments):
        arguments["num_classes"] = space.num_classes  # which the weights said
    return identity.write(space.name, space.version, arguments)


def write_backbone(space: EarlyExitSpace, place: Path) -> list[str]:
    """Write to ``place`` what the backbone of ``space`` is, if it is a network of its own; the names of the files."""
    if "folder" not in space.arguments:
        return []
    trial = record.load(Path(space.arguments["folder"]))
    if trial is None or trial.space is None:
        raise ValueError(f"folder: there is no network of an early-exit space in {space.arguments['folder']!r}")
    inner = search_spaces.restore(trial.space)
    (place / FOLDER).mkdir()
    write_json(place / FOLDER / BACKBONE, {"space": portable(inner), "sample": trial.sample})
    return [f"{FOLDER}/{name}" for name in (BACKBONE, *write_backbone(inner, place / FOLDER))]


def restored(bundle: Bundle) -> EarlyExitSpace:
    """The space of ``bundle``; raises what :func:`nni_earlyexit.search_spaces.restore` does."""
    wanted = identity.parse(bundle.architecture.space)
    if "folder" not in wanted.arguments:
        return search_spaces.restore(bundle.architecture.space)
    for name in bundle.checksums:
        if name.startswith(f"{FOLDER}/"):
            bundle.file(name)
    arguments = {**wanted.arguments, "folder": str((bundle.folder / FOLDER).resolve())}  # whatever stands there
    return search_spaces.restore(identity.write(wanted.name, wanted.version or 1, arguments))
