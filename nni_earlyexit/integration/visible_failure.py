"""Errors in NNI's dispatcher process, where tuner and assessor live, made visible.

NNI would go on without trials, or without results, for ever and show no error. A process that is gone makes the
experiment's status ERROR, and the reason stands in ``dispatcher.log``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

_logger = logging.getLogger(__name__)


@contextmanager
def visible_failure(name: str) -> Iterator[None]:
    """End this process when what is inside raises; ``name`` is who failed. Decorates a function too."""
    try:
        yield
    except Exception as error:
        _logger.exception("%s stopped: %s", name, error)
        logging.shutdown()
        os._exit(1)
