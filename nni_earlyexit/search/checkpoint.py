"""The state of a strategy, or of successive halving, in a file, from which a resumed experiment goes on as it would have.

The file has one JSON value a line: the whole state, then what has changed with each network that was asked for, told or judged.
So what is written each time does not grow with the search. When the changes are longer than the state, it is written anew.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, Protocol

from nni_earlyexit.search.ask_tell import AskTell
from nni_earlyexit.utils import files

_logger = logging.getLogger(__name__)

FILE = "strategy.jsonl"
LEAST_CHANGES = 4_000_000
"""Bytes of changes below which the whole state is not written again."""


class Stateful(Protocol):
    """Anything with a state that grows."""

    @property
    def mark(self) -> Any:
        """A mark of the state as it is."""

    def changes_since(self, mark: Any) -> dict[str, Any] | None:
        """Changes of the state at ``mark``, of which ``trials`` come behind its own; ``None`` if it is another one by now."""

    def state_dict(self) -> dict[str, Any]:
        """The whole state, as plain JSON."""


class Checkpoint:
    """The stored state of a strategy, or of ``what`` else, in the file ``name`` in ``folder``."""

    def __init__(self, folder: Path, name: str = FILE, what: str = "the strategy") -> None:
        self.path, self._what = folder / name, what
        self._stored = False  # and this object has written all that stands in the file
        self._mark: Any = None
        self._whole = self._changes = 0

    def save(self, stateful: Stateful) -> None:
        """Store the state of ``stateful``.

        A search does not end because it cannot be written: what an older state lacks, NNI tells a strategy when it resumes.
        """
        try:
            changes = stateful.changes_since(self._mark) if self._stored else None
            self._stored = False  # an interrupted line must not be written on
            if changes is None or self._changes > max(self._whole, LEAST_CHANGES):
                line = _line(stateful.state_dict())
                files.write_whole(self.path, lambda path: path.write_bytes(line))
                self._whole, self._changes = len(line), 0
            else:
                line = _line(changes)
                with self.path.open("ab") as file:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
                self._changes += len(line)
        except OSError as error:
            _logger.error("The state of %s could not be saved: %s", self._what, error)
        else:
            self._stored = True
            self._mark = stateful.mark

    def load(self, strategy: AskTell) -> bool:
        """Bring ``strategy``, which was started, into the state that is stored.

        Returns ``False``, having logged why, and leaves it as it was started when there is none or it cannot be used.
        """
        try:
            strategy.load_state_dict(read(self.path))
        except FileNotFoundError:
            _logger.warning("There is no %s; the search goes on from the results that NNI knows", self.path)
        except Exception as error:  # a damaged file can hold anything
            _logger.error("%s is not used, the search goes on from the results that NNI knows: %s", self.path, error)
            strategy.start(strategy.domain)
        else:
            return True
        return False


def read(path: Path) -> dict[str, Any]:
    """The state in the file ``path`` after the last of its changes; those behind a damaged one are left out, which is logged.

    Raises ``OSError`` if it cannot be read, and ``ValueError`` if the state that it begins with is none.
    """
    first, *changes = path.read_bytes().splitlines()
    state: dict[str, Any] = json.loads(first)
    for number, line in enumerate(changes, start=2):
        try:
            change = json.loads(line)
            trials = [*change.pop("trials")]
        except (ValueError, TypeError, AttributeError, LookupError):
            # an interrupted line at its end is what a killed process leaves, and nothing was answered before it was whole
            _logger.warning("%s is used up to line %d, which is not whole", path, number)
            break
        state["trials"] += trials
        state.update(change)
    return state


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode() + b"\n"
