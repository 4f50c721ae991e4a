"""The search space file of an experiment, and the parameters that NNI makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nni_earlyexit.space.identity import check_same


def split_parameters(parameters: object) -> tuple[str, dict[str, Any]]:
    """The space's identity and the sample from NNI's parameters."""
    if not isinstance(parameters, Mapping) or "space" not in parameters:
        raise ValueError(
            f"parameters: {parameters!r} do not name a space; the search space file must come from 'nni-earlyexit space NAME'"
        )
    return str(parameters["space"]), {label: value for label, value in parameters.items() if label != "space"}


def written_identity(search_space: Mapping[str, Any]) -> str:
    """The identity that a search space file carries; ``ValueError`` when it has none."""
    entry = search_space.get("space")
    values = entry.get("_value") if isinstance(entry, Mapping) else None
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise ValueError(
            "searchSpaceFile: it does not say which space it belongs to; write it with 'nni-earlyexit space NAME'"
        )
    return values[0]


def check_search_space(search_space: Mapping[str, Any], expected: Mapping[str, Any], identity: str) -> None:
    """Raise ``ValueError`` that names the first difference between an experiment's search space and the installed space's."""
    check_same(written_identity(search_space), identity)
    for label in [*expected, *search_space]:
        if search_space.get(label) != expected.get(label):
            raise ValueError(
                f"searchSpaceFile: {label!r} is {search_space.get(label)!r}, but {expected.get(label)!r} in space {identity}; "
                f"write the file again with 'nni-earlyexit space {identity.split('/')[0]}'"
            )
