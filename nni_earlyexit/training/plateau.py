"""A plateau: a training whose result has not become better for a while."""

from __future__ import annotations

import math


class Plateau:
    """Watches a result that should grow.

    Parameters
    ----------
    patience
        Epochs without a better result after which the plateau is reached; ``None``: it never is.
    """

    def __init__(self, patience: int | None) -> None:
        self._patience = math.inf if patience is None else patience
        self._best, self._since = -math.inf, 0

    def reached(self, result: float) -> bool:
        """Take in the result of an epoch; ``True`` if it is time to stop."""
        self._since = 0 if result > self._best else self._since + 1
        self._best = max(self._best, result)
        return self._since >= self._patience
