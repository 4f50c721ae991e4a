"""The state of a strategy in a file, from which a resumed experiment goes on exactly as it would have."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from nni_earlyexit.search.ask_tell import AskTell
from nni_earlyexit.utils import files

_logger = logging.getLogger(__name__)

FILE = "strategy.json"


def save(strategy: AskTell, folder: Path) -> None:
    """Write the state of ``strategy`` into ``folder``.

    A search does not end because it cannot be written: what an older state lacks, NNI tells when it resumes.
    """
    text = json.dumps(strategy.state_dict(), separators=(",", ":"), allow_nan=False)
    try:
        files.write_whole(folder / FILE, lambda path: path.write_text(text))
    except OSError as error:
        _logger.error("The state of the strategy could not be saved: %s", error)


def load(strategy: AskTell, folder: Path) -> bool:
    """Bring ``strategy``, which was started, into the state that is stored in ``folder``.

    Returns ``False``, having logged why, and leaves it as it was started when there is none or it cannot be used.
    """
    path = folder / FILE
    try:
        strategy.load_state_dict(json.loads(path.read_text()))
    except FileNotFoundError:
        _logger.warning("There is no %s; the search goes on from the results that NNI knows", path)
    except Exception as error:  # a damaged file can hold anything
        _logger.error("%s is not used, the search goes on from the results that NNI knows: %s", path, error)
        strategy.start(strategy.domain)
    else:
        return True
    return False
