"""The REST interface of NNI's manager, as seen by the processes that the manager starts.

They are given the address of a command channel on the manager's web server; the interface stands beside it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests

TIMEOUT_S = 30

CANCELED_TRIAL = ("USER_CANCELED", "SYS_CANCELED")
"""NNI's statuses of trials that were ended from outside, which an ``nnictl stop`` sometimes leaves behind."""

ENDED_TRIAL = ("SUCCEEDED", "FAILED", "EARLY_STOPPED", *CANCELED_TRIAL)
"""NNI's statuses of trials that it does not run again."""


def address(channel: str) -> str:
    """Where the interface is, from the address of a trial's or the tuner's command channel.

    >>> address("ws://localhost:8080/prefix/tuner")
    'http://localhost:8080/prefix/api/v1/nni'
    >>> address("ws://localhost:8080/env/local-env")
    'http://localhost:8080/api/v1/nni'
    """
    parts = urlsplit(channel)
    prefix = parts.path.removesuffix("/tuner").partition("/env/")[0]
    return f"http://{parts.netloc}{prefix}/api/v1/nni"


def get(address: str, path: str) -> Any:
    """The JSON that the manager answers for ``path``."""
    response = requests.get(f"{address}/{path}", timeout=TIMEOUT_S)
    response.raise_for_status()
    return response.json()


def end_after(address: str, trials: int) -> None:
    """Let the experiment end, with status ``DONE``, when so many trials have been submitted and have ended."""
    response = requests.put(
        f"{address}/experiment?update_type=MAX_TRIAL_NUM",
        json={"params": {"maxTrialNumber": trials}},
        timeout=TIMEOUT_S,
    )
    response.raise_for_status()
