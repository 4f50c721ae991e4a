"""Limits that a network must keep, and the amount by which it misses them.

Plain data and arithmetic; no torch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.utils.checks import Check, optional, positive
from nni_earlyexit.utils.options import check_options, option
from nni_earlyexit.utils.paths import expanded


class Limit(NamedTuple):
    """The subject of a limit: a field of :class:`ExitCosts`, and the exit at which it is known before training.

    An average is known to miss its limit only when even the first exit does.
    """

    cost: str
    exit: int
    unit: str


LIMITS = {
    "max_avg_macs": Limit("macs", 0, "MACs"),
    "max_full_macs": Limit("macs", -1, "MACs"),
    "max_params": Limit("params", -1, "parameters"),
    "max_activation_bytes": Limit("activation_bytes", -1, "bytes"),
    "max_latency_s": Limit("latency_s", 0, "seconds"),
}
"""Every limit that a network can be given."""


def _limit(name: str, meaning: str) -> float | None:
    unit = LIMITS[name].unit
    limit: float | None = option(None, meaning, optional(positive(unit)), unit=unit)
    return limit


ROUNDING = 1e-12
"""Share by which an average may be over a limit, for sums are rounded."""


@dataclass(frozen=True)
class Limits:
    """Limits of a search, none by default; ``ValueError`` for what cannot be one.

    A network that is known to miss one before training is not trained. Of averages, which depend on the cutoffs, that is so
    when even the first exit costs more. Without that exit it is another network, which may keep the limit.
    """

    max_avg_macs: float | None = _limit("max_avg_macs", "limit on average MACs, such as 400k")
    max_full_macs: float | None = _limit("max_full_macs", "limit on the last exit's MACs, such as 2M")
    max_params: float | None = _limit("max_params", "limit on parameters, such as 1M")
    max_activation_bytes: float | None = _limit(
        "max_activation_bytes", "limit on bytes of activations alive at once, such as 256k"
    )
    max_latency_s: float | None = _limit("max_latency_s", "limit on average seconds of an input, by the latency table")
    latency_table: str | None = option(
        None,
        "file of 'nni-earlyexit latency' for this machine; latency_s is then reported too",
        optional(Check("a file", lambda v: isinstance(v, str))),
    )

    def __post_init__(self) -> None:
        check_options(self)

    def check_there(self) -> None:
        """``FileNotFoundError`` unless the latency table is there; that of stored settings may be gone by now."""
        if self.latency_table is not None and not expanded(self.latency_table).is_file():
            raise FileNotFoundError(f"latency_table: there is no file {self.latency_table!r}")

    def check_latency_is_known(self, objectives: Collection[str] = ()) -> None:
        """Raise ``ValueError`` unless there is a latency table where a limit or one of the ``objectives`` needs it."""
        what = "max_latency_s" if self.max_latency_s is not None else "objectives: latency_s"
        if self.latency_table is None and (self.max_latency_s is not None or "latency_s" in objectives):
            raise ValueError(f"{what} needs a latency_table; 'nni-earlyexit latency' makes one")

    def given(self) -> dict[str, float]:
        """The limits that are set, by their names."""
        return {name: limit for name in LIMITS if (limit := getattr(self, name)) is not None}

    def excess(self, costs: ExitCosts) -> float:
        """Sum of the shares by which a network is known to exceed the limits before training; 0 if it may meet them."""
        over = 0.0
        for name, limit in self.given().items():
            cost = getattr(costs, LIMITS[name].cost)
            if cost is None:
                raise ValueError(f"{name}: {LIMITS[name].cost} is not known; a latency table is needed")
            over += max(0.0, cost[LIMITS[name].exit] / limit - 1)
        return over

    def excess_of_averages(self, avg_macs: float, latency_s: float | None) -> float:
        """Sum of the shares by which a trained network's averages exceed the limits on them."""
        averages = ((avg_macs, self.max_avg_macs), (latency_s, self.max_latency_s))
        over = [value / limit - 1 for value, limit in averages if value is not None and limit is not None]
        return sum(share for share in over if share > ROUNDING)

    def with_whole_paths(self) -> Limits:
        """The same with a path from ``/``, which means the same file wherever it is read later."""
        table = self.latency_table
        return self if table is None else replace(self, latency_table=str(expanded(table).resolve()))
