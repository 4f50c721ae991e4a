"""``nnictl`` for a busy machine: ``python -m nni_earlyexit.experiment.patient_nnictl`` and its arguments.

NNI's own gives its manager about four seconds to start, and takes a single request that fails for the end.
"""

from __future__ import annotations

import sys
from typing import Any

import requests
from nni.tools.nnictl.nnictl import parse_args
from nni_earlyexit.integration import nni_private, rest


def _request(method: str, port: int, api: str, data: Any = None, prefix: str | None = None) -> Any:
    """NNI's ``request``, asked again.

    A request that starts an experiment would start it twice, so it is only sent again if it has not arrived.
    """
    address = "/".join(part.strip("/") for part in (f"http://localhost:{port}", prefix, "api/v1/nni") if part)
    starts = method.lower() == "post" and api.strip("/") == "experiment"

    def arrived() -> bool:
        # the manager has an experiment to show from the moment that it is told to start one
        return starts and rest.request("GET", f"{address}/experiment", read=_json) is not None

    return rest.request(method.upper(), f"{address}/{api.strip('/')}", data, read=_json, arrived=arrived)


def _json(response: requests.Response) -> Any:
    return response.json() if response.content else None


def _check_rest_server(port: int, retry: int = 3, url_prefix: str | None = None) -> None:
    _request("get", port, "check-status", prefix=url_prefix)


if __name__ == "__main__":
    nni_private.replace_launcher(_request, _check_rest_server)
    sys.argv[0] = "nnictl"
    parse_args()
