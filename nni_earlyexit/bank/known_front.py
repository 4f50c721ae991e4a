"""The best networks of a bank, written beside its branches, so that a search in the same space can begin with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.utils.files import read_json, write_json

FILE = "front.json"


def write_known_front(bank: Path, space: str, networks: Sequence[Mapping[str, Any]]) -> None:
    """Write ``networks`` of the ``space``, each with its ``sample``, ``accuracy`` and ``avg_macs``, the cheapest first."""
    write_json(bank / FILE, {"space": space, "networks": list(networks)})


def known_samples(bank: Path, space: str, most: int) -> list[dict[str, Any]]:
    """At most so many samples of the networks in the ``bank``, along its front; none of another ``space`` or where none are."""
    try:
        stored = read_json(bank / FILE, "bank")
        samples = [dict(network["sample"]) for network in stored["networks"]]
        if stored["space"] != space:
            return []
    except (OSError, ValueError, LookupError, TypeError):
        return []
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int))
    return [samples[i] for i in chosen]
