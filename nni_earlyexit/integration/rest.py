"""The REST interface of NNI's manager, for all that talks to it: ``nni-earlyexit run``, the tuner and the trials.

The manager is one thread on a machine that trains. A request that fails says that it is busy, and is made again for a while.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from nni_earlyexit.search.metrics import whole

_logger = logging.getLogger(__name__)

TIMEOUT_S = 30
"""Seconds that one try may take."""
PATIENCE_S = 60
"""Seconds after which a request is given up, counted from its first try."""
LONGEST_PAUSE_S = 5

CANCELED_TRIAL = ("USER_CANCELED", "SYS_CANCELED")
"""NNI's statuses of trials that were ended from outside, which an ``nnictl stop`` sometimes leaves behind."""

ENDED_TRIAL = ("SUCCEEDED", "FAILED", "EARLY_STOPPED", *CANCELED_TRIAL)
"""NNI's statuses of trials that it does not run again."""


class NoAnswer(ConnectionError):
    """The manager gave no answer, however often it was asked."""


class Refused(ValueError):
    """The manager answered that it will not do what it was asked."""


def address(channel: str) -> str:
    """Address of the interface, from that of a trial's or the tuner's command channel.

    >>> address("ws://localhost:8080/prefix/tuner")
    'http://localhost:8080/prefix/api/v1/nni'
    >>> address("ws://localhost:8080/env/local-env")
    'http://localhost:8080/api/v1/nni'
    """
    parts = urlsplit(channel)
    prefix = parts.path.removesuffix("/tuner").partition("/env/")[0]
    return f"http://{parts.netloc}{prefix}/api/v1/nni"


def get(address: str, path: str, patience_s: float = PATIENCE_S) -> Any:
    """The JSON that the manager answers for ``path``; raises as :func:`request` does."""
    return request("GET", f"{address}/{path}", patience_s=patience_s, read=requests.Response.json)


def unpack(data: str) -> Any:
    """A metric as NNI stores it, JSON in a JSON string; all metrics of a result that a trial of ours has reported.

    ``None`` for anything else, which a trial may send as well.
    """
    try:
        value = json.loads(data)
        return whole(json.loads(value) if isinstance(value, str) else value)
    except (ValueError, TypeError, RecursionError):
        return None


def end_after(address: str, trials: int) -> None:
    """Let the experiment end, with status ``DONE``, when so many trials have been submitted and have ended."""
    request("PUT", f"{address}/experiment?update_type=MAX_TRIAL_NUM", {"params": {"maxTrialNumber": trials}})


def request(
    method: str,
    url: str,
    content: Any = None,
    *,
    patience_s: float = PATIENCE_S,
    read: Callable[[requests.Response], Any] = lambda response: response,
    arrived: Callable[[], bool] = lambda: False,
) -> Any:
    """The result of ``read`` for the manager's response.

    The manager is asked again while there is no response, while it is an error of the manager's own, or while ``read`` cannot
    understand it and raises ``ValueError``.

    What is sent may so arrive twice, unless ``arrived`` tells that it has, which it is asked first. Then ``None`` is returned.

    Raises
    ------
    NoAnswer
        After ``patience_s``, or at once when the connection fails and no manager has that port of this machine.
    Refused
        For a status from 400 to 499 other than 408 and 410, NNI's for "nothing yet" and "nothing any more".
    """
    start = time.monotonic()
    for pause in _pauses():
        left = patience_s - (time.monotonic() - start)
        try:
            return read(_once(method, url, content, min(TIMEOUT_S, max(left, 1.0))))
        except Refused:
            raise
        except (requests.RequestException, ValueError) as error:
            waited = time.monotonic() - start
            gone = isinstance(error, requests.ConnectionError) and _is_gone(url)
            _logger.info("%s %s is asked again, %.1f s after the first time: %r", method, url, waited, error)
            if gone or waited + pause >= patience_s:
                reason = "it is not running" if gone else " ".join(str(error).split())[:300]
                raise NoAnswer(f"NNI's manager did not answer {url} for {waited:.0f} s: {reason}") from error
        time.sleep(pause)
        if arrived():
            return None
    raise AssertionError("pauses never end")


def on_a_worker() -> bool:
    """``True`` in a trial of another platform than NNI's local one, whose channel leads to a keeper of NNI's on its machine."""
    return os.environ.get("NNI_PLATFORM", "local") != "local"


def _once(method: str, url: str, content: Any, timeout_s: float) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False  # no proxy: the manager is on this machine or in its cluster
        response = session.request(method, url, json=content, timeout=timeout_s)
    said = f"{response.status_code} {' '.join(response.text.split())[:200]}"
    if response.status_code >= 500:
        raise ValueError(said)
    if response.status_code >= 400 and response.status_code not in (408, 410):
        raise Refused(f"NNI's manager refuses {url}: {said}")
    return response


def _pauses() -> Iterator[float]:
    pause = 0.1
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _is_gone(url: str) -> bool:
    """``True`` if ``url`` is on this machine and no manager runs that has its port; a busy one may refuse connections.

    What a trial on another machine talks to there is no manager, and may come back.
    """
    from nni_earlyexit.integration import nni_processes

    parts = urlsplit(url)
    if on_a_worker():
        return False
    if parts.hostname not in ("localhost", "127.0.0.1", "::1") or nni_processes.one_begins():
        return False
    return all(manager.port != parts.port for manager in nni_processes.managers())
