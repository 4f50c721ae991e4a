"""NNI's channel from a trial to the manager, which ends the trial at the first request that fails.

It also takes an error for a success, so that a result could be lost, and waits for ever for parameters that it was not given.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import requests
from nni_earlyexit.integration import nni_private, rest

if TYPE_CHECKING:
    from nni.runtime.command_channel.http import HttpChannel

PARAMETERS_S = 15
"""Seconds to wait for parameters where the manager shows them too: on the local platform, a request that was made again may
have taken those of another trial, which then has none."""
NOTHING_YET, NOTHING_ANY_MORE = 408, 410


def be_patient() -> None:
    """Let every channel of this process ask again.

    What is sent may arrive twice, which harms little: intermediate results are counted by their number. A second final one
    would be kept, and NNI would complain in its log at every look at its trials, so it is only sent again if it has not
    arrived. On a worker nobody there can tell, and it is sent again.
    """
    nni_private.replace_trial_channel(_send, _receive)


def _send(self: HttpChannel, command: dict[str, Any]) -> None:
    job = os.environ.get("NNI_TRIAL_JOB_ID")

    def arrived() -> bool:
        return bool(rest.get(rest.address(self._url), f"metric-data/{job}?type=FINAL"))

    if (
        command.get("type") == "metric"
        and json.loads(command["metric"]).get("type") == "FINAL"
        and not (job is None or rest.on_a_worker())
    ):
        rest.request("PUT", self._url, command, arrived=arrived)
    else:
        rest.request("PUT", self._url, command)


def _receive(self: HttpChannel) -> Any:
    """The next command; ``None`` when there is none for a while, or will be none."""

    def read(response: requests.Response) -> Any:
        return response.json() if response.status_code not in (NOTHING_YET, NOTHING_ANY_MORE) else response.status_code

    until = time.monotonic() + (PARAMETERS_S if os.environ.get("NNI_PLATFORM") == "local" else rest.PATIENCE_S)
    while time.monotonic() < until:
        command = rest.request("GET", self._url, read=read)
        if command == NOTHING_ANY_MORE:
            return None
        if command != NOTHING_YET:
            return command
    return None
