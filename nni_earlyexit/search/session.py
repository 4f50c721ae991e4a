"""Results of trials, which other processes report: one that cannot be understood must not end the search."""

from __future__ import annotations

import logging
from typing import Any

from nni_earlyexit.search.ask_tell import AskTell

_logger = logging.getLogger(__name__)


def tell(strategy: AskTell, metrics: Any) -> bool:
    """Whether ``strategy`` could be told ``metrics``; otherwise the log says why not.

    The sample is the one that the trial says it ran: NNI may have swapped its parameters with those of another one.
    """
    try:
        strategy.tell(metrics["sample"], metrics)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        _logger.error("A trial reported %r, which lacks the metrics of EarlyExitEvaluator: %r", metrics, error)
        return False
    return True
