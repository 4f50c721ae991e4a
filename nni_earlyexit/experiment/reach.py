"""Whether the trials of a platform reach a manager that answers this machine only, as that of ``run`` and ``resume`` does."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

TUNNELLED = "remote"
"""The platform whose trials reach it through a tunnel."""


def check_reach(service: Mapping[str, Any], doing: str, instead: str) -> None:
    """Raise ``ValueError`` unless trials reach it.

    Parameters
    ----------
    service
        NNI's ``trainingService``, canonical, with NNI's names.
    doing, instead
        The command that is not possible, and the one that is.
    """
    platform, address = service.get("platform", "local"), service.get("nniManagerIp")
    if platform not in ("local", TUNNELLED):
        raise ValueError(
            f"trainingService: {doing!r} is not possible on {platform!r}, whose trials cannot reach a manager that "
            f"answers this machine only; {instead!r} is, whose manager answers everybody, without a login"
        )
    if platform == TUNNELLED and not _is_loopback(address):
        given = "it is missing" if address is None else f"{address!r} is not possible"
        raise ValueError(
            f"nniManagerIp: {given}; {doing!r} lets the manager answer this machine only, so 127.0.0.1 is, with a tunnel to "
            f"each worker (ssh -N -R PORT:127.0.0.1:PORT USER@WORKER); with {instead!r}, the manager answers everybody, "
            "without a login"
        )


def _is_loopback(address: object) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(str(address)).is_loopback
    except ValueError:
        return False
