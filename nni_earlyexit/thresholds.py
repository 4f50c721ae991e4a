"""The threshold optimizer: from each exit's outputs and cost to the cutoffs, with the whole trade-off kept.

It needs numpy and scikit-learn only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nni_earlyexit import confidence as measures
from nni_earlyexit.policy import ExitPolicy, finite_or_none
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

MAX_EXITS = 15
MAX_COMBINATIONS = 10_000


@dataclass(frozen=True)
class TradeOff:
    """One policy and what it gives on the data that it was fitted to.

    Attributes
    ----------
    accuracy
        Share of inputs whose class is right, in [0, 1].
    avg_cost
        Mean cost of an input, in the unit of the costs given.
    cutoffs
        One per exit; the last one is ``-inf``.
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


class ThresholdOptimizer(BaseEstimator):
    """Fit one confidence cutoff per exit.

    Every non-dominated policy is found, not only the chosen one. A cutoff is worth considering only where the next less
    confident group of inputs holds one that this exit gets wrong: letting a right one leave saves cost and loses
    nothing. That leaves few candidates per exit; all their combinations are tried, the last cutoff by a sweep over the
    sorted inputs. The front is the exact one unless candidates have to be thinned out: those of an exit to ``max_levels``,
    and with five exits or more, so many that 10,000 combinations are tried.

    The policy chosen from the front is, among those within ``max_cost``: with ``min_accuracy``, ``max_drop`` or
    ``weight`` the one they describe; without them and with ``max_cost``, the most accurate; with nothing given, that of
    ``max_drop=0.005``.

    Parameters
    ----------
    max_cost : float, default=None
        Limit on the average cost of an input.
    min_accuracy : float, default=None
        The cheapest policy with at least this accuracy.
    max_drop : float, default=None
        The cheapest policy whose accuracy is at most this much below the best.
    weight : float, default=None
        The policy with the largest ``accuracy - weight * avg_cost / costs[-1]``.
    confidence : str, default="max_prob"
        Name of a measure in :mod:`nni_earlyexit.confidence`.
    max_levels : int, default=100
        Largest number of candidates tried for a cutoff that is not swept; more are thinned out evenly.

    Attributes
    ----------
    front_ : list of TradeOff
        Every non-dominated policy, cheapest first.
    chosen_ : TradeOff
        The one that the goal picked.
    policy_ : ExitPolicy
        The chosen policy, ready for a network.

    See Also
    --------
    sklearn.model_selection.TunedThresholdClassifierCV : Tunes one decision threshold of a binary classifier.

    Examples
    --------
    >>> import numpy as np
    >>> from nni_earlyexit import ThresholdOptimizer
    >>> logits = np.array([[[9., 0.], [9., 0.]], [[0., 1.], [9., 0.]]])  # (inputs, exits, classes)
    >>> opt = ThresholdOptimizer(max_cost=70).fit(logits, [0, 0], costs=[10, 100])
    >>> opt.chosen_.accuracy, opt.chosen_.avg_cost
    (1.0, 55.0)
    >>> opt.exits(logits).tolist()
    [0, 1]
    """

    def __init__(
        self,
        *,
        max_cost: float | None = None,
        min_accuracy: float | None = None,
        max_drop: float | None = None,
        weight: float | None = None,
        confidence: str = "max_prob",
        max_levels: int = 100,
    ) -> None:
        self.max_cost = max_cost
        self.min_accuracy = min_accuracy
        self.max_drop = max_drop
        self.weight = weight
        self.confidence = confidence
        self.max_levels = max_levels

    def fit(self, logits: ArrayLike, y: ArrayLike, costs: ArrayLike) -> ThresholdOptimizer:
        """Find the front and choose from it.

        Parameters
        ----------
        logits : array of shape (inputs, exits, classes)
            Each exit's outputs on data that the network was not trained on.
        y : array of shape (inputs,)
            The classes, as integers from 0.
        costs : array of shape (exits,)
            Cost of leaving at each exit, everything run on the way included; strictly increasing.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            When the data do not fit together or the goal cannot be met.
        """
        outputs, labels, exit_costs = _check_data(logits, y, costs)
        self._check_goal()
        measure = measures.get(self.confidence)
        correct = outputs.argmax(axis=-1) == labels[:, None]
        confidences = measure(outputs)[:, :-1]
        self.front_ = _front(confidences, correct, exit_costs, self.max_levels)
        self._full_cost = float(exit_costs[-1])
        return self.choose()

    def choose(self, allowed: Callable[[TradeOff], bool] | None = None) -> ThresholdOptimizer:
        """Choose from the front again, only among the points that are ``allowed``, such as those within another limit."""
        self.chosen_ = self._choose([point for point in self.front_ if allowed is None or allowed(point)])
        self.policy_ = ExitPolicy(self.chosen_.cutoffs, self.confidence)
        return self

    def exits(self, logits: ArrayLike) -> NDArray[np.intp]:
        """The exit (inputs,) that each input leaves at under the chosen policy, given (inputs, exits, classes)."""
        return self._fitted().exits(logits)

    def predict(self, logits: ArrayLike) -> NDArray[np.intp]:
        """The class (inputs,) that each input gets under the chosen policy, given (inputs, exits, classes)."""
        return self._fitted().predict(logits)

    def _fitted(self) -> ExitPolicy:
        if not hasattr(self, "policy_"):
            raise NotFittedError("This ThresholdOptimizer is not fitted yet; call fit(logits, y, costs) first.")
        return self.policy_

    def _check_goal(self) -> None:
        goals = {
            name: value for name in ("min_accuracy", "max_drop", "weight") if (value := getattr(self, name)) is not None
        }
        if len(goals) > 1:
            raise ValueError(f"{' and '.join(goals)}: only one of min_accuracy, max_drop and weight can be the goal")
        for name, value in goals.items():
            if not math.isfinite(value) or value < 0 or (value > 1 and name != "weight"):
                raise ValueError(
                    f"{name}: {value} is not possible; a {'number from 0' if name == 'weight' else 'fraction in [0, 1]'} is"
                )
        if self.max_levels < 2:
            raise ValueError(f"max_levels: {self.max_levels} is too few; at least 2 are needed")

    def _choose(self, allowed: Sequence[TradeOff]) -> TradeOff:
        if not allowed:
            raise ValueError("front_: no policy on it is allowed")
        affordable = allowed
        if self.max_cost is not None:
            affordable = [point for point in allowed if point.avg_cost <= self.max_cost]
            if not affordable:
                raise ValueError(
                    f"max_cost: {self.max_cost:g} is below {self.front_[0].avg_cost:g}, the cheapest that inputs can leave at"
                )
        best = affordable[-1].accuracy
        if self.weight is not None:
            weight = self.weight
            return max(affordable, key=lambda point: point.accuracy - weight * point.avg_cost / self._full_cost)
        if self.min_accuracy is not None:
            wanted = self.min_accuracy
            if wanted > best:
                raise ValueError(f"min_accuracy: {wanted} cannot be met; the most accurate policy reaches {best:.4f}")
        elif self.max_drop is not None:
            wanted = best - self.max_drop
        elif self.max_cost is not None:
            wanted = best
        else:
            wanted = best - 0.005
        # accuracies are quotients: tolerate their rounding
        return next(point for point in affordable if point.accuracy >= wanted - 1e-9)


def _check_data(
    logits: ArrayLike, y: ArrayLike, costs: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.integer], NDArray[np.floating]]:
    outputs, labels, exit_costs = np.asarray(logits), np.asarray(y), np.asarray(costs)
    if outputs.ndim != 3:
        raise ValueError(f"logits: shape {outputs.shape} does not fit; (inputs, exits, classes) is needed")
    inputs, exits, classes = outputs.shape
    if inputs == 0:
        raise ValueError("logits: no inputs; cutoffs can only be fitted to held-out data")
    if exits > MAX_EXITS:
        raise ValueError(f"logits: {exits} exits are too many; up to {MAX_EXITS} are possible")
    if labels.shape != (inputs,):
        raise ValueError(f"y: shape {labels.shape} does not fit {inputs} inputs")
    if exit_costs.shape != (exits,):
        raise ValueError(f"costs: shape {exit_costs.shape} does not fit {exits} exits")
    if not np.isfinite(outputs).all():
        raise ValueError("logits: they hold NaN or infinite values")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"y: classes must be integers from 0 to {classes - 1}, found {labels.min()} to {labels.max()}")
    if not np.isfinite(exit_costs).all() or (np.diff(exit_costs) <= 0).any() or exit_costs[0] <= 0:
        raise ValueError(f"costs: {exit_costs.tolist()} must be positive and strictly increasing")
    return outputs, labels, exit_costs


def _candidates(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Cutoffs worth considering at one exit, largest first.

    They are ``inf`` (nothing leaves), and each distinct confidence whose next lower group holds an error, and the
    lowest confidence (everything leaves). Those in between only keep back inputs that this exit gets right.
    """
    values, group = np.unique(confidence, return_inverse=True)
    has_error = np.bincount(group, weights=~correct, minlength=len(values)) > 0
    # values[i] as cutoff keeps back group i - 1 and below
    worth = np.append(has_error[:-1], has_error[-1])
    cutoffs = np.append(values[1:], math.inf)[worth]
    return np.append(values[0], cutoffs)[::-1]


def _front(
    confidences: NDArray[np.floating], correct: NDArray[np.bool_], costs: NDArray[np.floating], max_levels: int
) -> list[TradeOff]:
    """Every non-dominated cutoff vector.

    ``confidences`` is (inputs, exits - 1), ``correct`` (inputs, exits), ``costs`` (exits,).
    """
    inputs, exits = correct.shape
    if exits == 1:
        return [TradeOff(float(correct.mean()), float(costs[0]), (-math.inf,), (1.0,))]
    last = exits - 2  # the exit whose cutoff is swept
    order = np.argsort(-confidences[:, last], kind="stable")
    swept = confidences[order, last]
    here, after = correct[order, last].astype(np.int64), correct[order, last + 1].astype(np.int64)
    if last > 2:
        max_levels = min(max_levels, max(2, int(MAX_COMBINATIONS ** (1 / last))))
    levels = [_thin(_candidates(confidences[:, k], correct[:, k]), max_levels) for k in range(last)]

    found: list[tuple[NDArray[np.floating], ...]] = []
    for cutoffs, remaining, left, right in _combinations(levels, confidences, correct):
        rest = remaining[order]
        ends = _last_of_group(swept, rest)
        gained = np.cumsum((here - after) * rest)
        leaving = np.cumsum(rest)
        # the sweep starts with nothing leaving
        at = np.concatenate([[0], leaving[ends]])
        hits = right + int((after * rest).sum()) + np.concatenate([[0], gained[ends]])
        total = np.dot(left, costs[:last]) + at * costs[last] + (int(rest.sum()) - at) * costs[last + 1]
        cutoff = np.concatenate([[math.inf], swept[ends]])
        keep = _non_dominated(total, hits)
        counts = np.column_stack([*(np.full(len(keep), n) for n in left), at[keep], int(rest.sum()) - at[keep]])
        vectors = np.column_stack([*(np.full(len(keep), c) for c in cutoffs), cutoff[keep]])
        found.append((total[keep], hits[keep], vectors, counts))

    total, hits, vectors, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return [
        TradeOff(
            float(hits[i] / inputs),
            float(total[i] / inputs),
            (*(float(cutoff) for cutoff in vectors[i]), -math.inf),
            tuple(float(n / inputs) for n in counts[i]),
        )
        for i in _non_dominated(total, hits)
    ]


def _combinations(
    levels: Sequence[NDArray[np.floating]], confidences: NDArray[np.floating], correct: NDArray[np.bool_]
) -> Iterator[tuple[tuple[float, ...], NDArray[np.bool_], tuple[int, ...], int]]:
    """All combinations of the cutoffs that are not swept.

    Yields the cutoffs, which inputs (inputs,) still remain, how many left at each exit, and how many of those rightly.
    """

    def descend(
        k: int, cutoffs: tuple[float, ...], remaining: NDArray[np.bool_], left: tuple[int, ...], right: int
    ) -> Iterator[Any]:
        if k == len(levels):
            yield cutoffs, remaining, left, right
            return
        before = -1
        for cutoff in levels[k]:
            leaves = remaining & (confidences[:, k] >= cutoff)
            count = int(leaves.sum())
            if count == before:
                continue  # the same policy as the one before on these inputs
            before = count
            yield from descend(
                k + 1,
                (*cutoffs, float(cutoff)),
                remaining & ~leaves,
                (*left, count),
                right + int((correct[:, k] & leaves).sum()),
            )

    yield from descend(0, (), np.ones(len(correct), dtype=bool), (), 0)


def _last_of_group(values: NDArray[np.floating], member: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Positions of the last member of each run of equal ``values`` (sorted) among the members."""
    positions = np.flatnonzero(member)
    if len(positions) == 0:
        return positions
    chosen = values[positions]
    return positions[np.append(chosen[1:] != chosen[:-1], True)]


def _thin(levels: NDArray[np.floating], most: int) -> NDArray[np.floating]:
    """At most ``most`` of ``levels``, evenly spread, first and last kept."""
    if len(levels) <= most:
        return levels
    return levels[np.unique(np.linspace(0, len(levels) - 1, most).round().astype(int))]


def _non_dominated(cost: NDArray[np.floating], gain: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices of the points that no other point beats in both, cheapest first; equal points once.

    Costs that differ by no more than the rounding of their sums are equal.
    """
    cost = np.round(cost / cost.max(), 12)
    order = np.lexsort((-gain, cost))
    best_before = np.concatenate([[-math.inf], np.maximum.accumulate(gain[order])[:-1]])
    return order[gain[order] > best_before]
