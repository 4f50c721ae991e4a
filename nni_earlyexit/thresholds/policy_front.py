"""The trade-off between score and cost: every non-dominated policy, and the choice of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from nni_earlyexit.utils.amounts import format_amount
from nni_earlyexit.utils.files import finite_or_none
from nni_earlyexit.utils.optional import pandas
from nni_earlyexit.utils.tables import as_html
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 12
"""Most policies of a front that a notebook shows."""


def mean_cost(
    cutoffs: ArrayLike, shares: ArrayLike, costs: ArrayLike, branch_costs: ArrayLike = 0
) -> NDArray[np.floating]:
    """Mean cost (...) of an input, given cutoffs and shares of inputs (..., exits) and the costs (exits,) of leaving.

    ``costs`` are those where all exits are run; one that is dropped, which has the cutoff ``inf``, saves its ``branch_costs``.
    """
    saved = np.where(np.asarray(cutoffs) == np.inf, branch_costs, 0).cumsum(axis=-1)
    return np.asarray((np.asarray(shares) * (np.asarray(costs) - saved)).sum(axis=-1))


@dataclass(frozen=True)
class TradeOff:
    """One policy, with its accuracy and cost on the data that it was fitted to.

    Attributes
    ----------
    accuracy
        Mean score of an input; with the default scoring, the share of inputs whose class is right, in [0, 1].
    avg_cost
        Mean cost of an input, in the unit of the costs given.
    cutoffs
        Cutoff of each exit; ``inf`` where it is dropped, ``-inf`` for the last.
    shares
        Share of inputs that leave at each exit; they sum to 1.
    """

    accuracy: float
    avg_cost: float
    cutoffs: tuple[float, ...]
    shares: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; infinite cutoffs are ``null``."""
        return {
            "accuracy": self.accuracy,
            "avg_cost": self.avg_cost,
            "cutoffs": finite_or_none(self.cutoffs),
            "shares": list(self.shares),
        }


@dataclass(frozen=True, eq=False)
class Front(Sequence[TradeOff]):
    """Policies that no other one beats in both accuracy and cost, cheapest first: a list of :class:`TradeOff`.

    Its columns are arrays: ``accuracy`` and ``avg_cost`` (policies,), ``cutoffs`` and ``shares`` (policies, exits).
    """

    accuracy: NDArray[np.floating]
    avg_cost: NDArray[np.floating]
    cutoffs: NDArray[np.floating]
    shares: NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.accuracy)

    @overload
    def __getitem__(self, index: int) -> TradeOff: ...
    @overload
    def __getitem__(self, index: slice | NDArray[np.generic]) -> Front: ...
    def __getitem__(self, index: int | slice | NDArray[np.generic]) -> TradeOff | Front:
        """The policy at a position, or the part of the front that a slice or an array of positions or booleans names."""
        if isinstance(index, (int, np.integer)):
            return TradeOff(
                float(self.accuracy[index]),
                float(self.avg_cost[index]),
                tuple(self.cutoffs[index].tolist()),
                tuple(self.shares[index].tolist()),
            )
        return Front(self.accuracy[index], self.avg_cost[index], self.cutoffs[index], self.shares[index])

    def mean_costs(self, costs: ArrayLike, branch_costs: ArrayLike = 0) -> NDArray[np.floating]:
        """Mean cost (policies,) of an input by other costs (exits,) than those that the front was searched by."""
        return mean_cost(self.cutoffs, self.shares, costs, branch_costs)

    def thinned(self, points: int) -> Front:
        """A part of the front: the policy with the least area of its own is dropped until ``points`` (2 or more) are left."""
        kept = np.arange(len(self))
        while len(kept) > points:
            accuracy, cost = self.accuracy[kept], self.avg_cost[kept]
            own = (accuracy[1:-1] - accuracy[:-2]) * (cost[2:] - cost[1:-1])
            kept = np.delete(kept, 1 + int(own.argmin()))
        return self[kept]

    def __repr__(self) -> str:
        if not len(self):
            return "Front of no policies"
        return (
            f"Front of {len(self)} policies: accuracy {self.accuracy[0]:.4f} at {self.avg_cost[0]:.4g} "
            f"to {self.accuracy[-1]:.4f} at {self.avg_cost[-1]:.4g}"
        )

    def _repr_html_(self) -> str:
        part = self.thinned(SHOWN)
        rows = [
            (
                f"{point.accuracy:.4f}",
                format_amount(point.avg_cost),
                " ".join(f"{share:.0%}" for share in point.shares),
                " ".join(f"{cutoff:.3g}" for cutoff in point.cutoffs[:-1]),
            )
            for point in part
        ]
        caption = repr(self) + (f"; {len(part)} of them" if len(part) < len(self) else "")
        return as_html(("accuracy", "average cost", "share per exit", "cutoffs"), rows, caption)

    def to_pandas(self) -> DataFrame:
        """A data frame with a row for each policy, cheapest first.

        Its columns are ``accuracy``, ``avg_cost``, and for each exit ``cutoff0``, ... and ``share0``, ...
        ``ModuleNotFoundError`` with the command that helps where pandas is not installed.
        """
        exits = range(self.cutoffs.shape[1])
        return pandas().DataFrame(
            {
                "accuracy": self.accuracy,
                "avg_cost": self.avg_cost,
                **{f"cutoff{exit}": self.cutoffs[:, exit] for exit in exits},
                **{f"share{exit}": self.shares[:, exit] for exit in exits},
            }
        )
