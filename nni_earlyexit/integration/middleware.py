"""NNI's strategy middleware, where it does not fit metrics that are more than one number."""

from __future__ import annotations

from typing import Any

from nni.nas.strategy import middleware
from nni_earlyexit.search.metrics import whole


class MultipleEvaluation(middleware.MultipleEvaluation):
    """NNI's ``MultipleEvaluation``, which averages the numbers of a result and keeps the rest of the first one.

    NNI's own refuses a result that holds a network's sample or a cutoff that is ``None``.
    """

    def _average(self, collections: list[Any]) -> Any:
        collections = [whole(one) for one in collections]
        first = collections[0]
        if isinstance(first, dict):
            return {key: self._average([one[key] for one in collections]) for key in first}
        numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in collections)
        # what is equal in all stays as it is: 3 layers are not 3.0
        return sum(collections) / len(collections) if numbers and any(one != first for one in collections) else first
