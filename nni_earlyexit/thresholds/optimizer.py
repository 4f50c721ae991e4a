"""The threshold optimizer: from each exit's outputs and cost to the cutoffs, with the whole trade-off kept.

It needs numpy and scikit-learn only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from nni_earlyexit.thresholds import confidence as measures
from nni_earlyexit.thresholds.common_cutoff import CUTOFFS, SHARED, TUNED, common_cutoffs
from nni_earlyexit.thresholds.exit_outputs import Outputs, checked, checked_costs
from nni_earlyexit.thresholds.exit_subsets import Array, Confidences, Kept, judge, kept_by, search_policies
from nni_earlyexit.thresholds.guarantee import ALL, Certificate, Guarantee, certify
from nni_earlyexit.thresholds.learned_confidence import LearnedConfidence
from nni_earlyexit.thresholds.operating_point import OperatingPoint, Unreachable
from nni_earlyexit.thresholds.policy import ExitPolicy, scaled
from nni_earlyexit.thresholds.policy_front import Front, TradeOff
from nni_earlyexit.thresholds.temperature_scaling import best_temperatures
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ThresholdOptimizer(ClassifierMixin, BaseEstimator):
    """Fit one confidence cutoff per exit, and say which exits are worth keeping.

    Every non-dominated policy is kept, not only the chosen one (see :mod:`nni_earlyexit.thresholds.cutoff_search`).

    One goal can be named; ``max_cost`` can be added to each. With ``max_cost`` alone, it is the most accurate policy; with
    nothing, the cheapest whose accuracy is within 0.005 of the best; with a guarantee alone, the cheapest that is certified.

    Parameters
    ----------
    max_cost : float, default=None
        Limit on the average cost of an input.
    min_accuracy : float, default=None
        The cheapest policy with at least this accuracy.
    max_drop : float, default=None
        The cheapest policy whose accuracy is at most this much below that of the last exit for everything.
    tolerance : float, default=None
        The cheapest policy whose accuracy is at most this much below the best within the budget.
    weight : float, default=None
        The policy with the largest ``accuracy - weight * avg_cost / costs[-1]``.
    knee : bool, default=False
        The policy where the trade-off bends most.
    confidence : str, default="max_prob"
        Name of a measure: ``max_prob``, ``entropy``, ``margin``, ``energy``, ``patience``, ``learned``, or a registered one
        (:mod:`nni_earlyexit.thresholds.confidence`).
    cutoffs : {"tuned", "shared"} or float, default="tuned"
        One for each exit; one for all exits, as BranchyNet has it; or this one for all exits. Only tuned ones drop exits.
    drop_exits : bool, default=True
        Whether an exit may be dropped where that pays: its branch is then not run. ``False`` keeps all of them.
    temperature_scaling : bool, default=False
        Divide each exit's logits by the temperature that makes its probabilities most likely (arXiv 1706.04599).
    scoring : {"accuracy", "balanced_accuracy"} or array of shape (classes, classes), default="accuracy"
        Worth of a prediction: 1 if right; the same with every class weighing as much; or the score of (class,
        predicted class). Wherever accuracy is said here, it is the mean of that.
    guarantee : Guarantee, default=None
        Let only policies be chosen whose true drop is limited, with a probability (:mod:`nni_earlyexit.thresholds.guarantee`).
    random_state : int, default=0
        Seed of the splits that the learned measure and the guarantee make.

    Attributes
    ----------
    front_ : Front
        Every non-dominated policy, cheapest first: a sequence of :class:`TradeOff`, and its columns as arrays. With a
        guarantee, those that are certified, as they are on the inputs of its test. With the learned measure, accuracy
        and cost are cross-fitted.
    chosen_ : TradeOff
        The one that the goal picked.
    policy_ : ExitPolicy
        The chosen policy, ready for a network.
    single_exit_costs_, single_exit_accuracies_ : arrays of shape (exits,)
        Cost and accuracy of each exit alone for every input, no other one run.
    temperatures_ : tuple of float or None
        Temperature of each exit.
    certificate_ : Certificate or None
        Outcome of the guarantee's test.
    classes_ : array of shape (classes,)
        The classes, 0 and up.
    n_exits_in_ : int
        Number of exits seen in ``fit``.

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
    >>> opt.policy_at(max_cost=20).cutoffs[0] < opt.policy_.cutoffs[0]  # another point of the same front
    True
    """

    def __init__(
        self,
        *,
        max_cost: float | None = None,
        min_accuracy: float | None = None,
        max_drop: float | None = None,
        tolerance: float | None = None,
        weight: float | None = None,
        knee: bool = False,
        confidence: str = "max_prob",
        cutoffs: str | float = TUNED,
        drop_exits: bool = True,
        temperature_scaling: bool = False,
        scoring: str | ArrayLike = "accuracy",
        guarantee: Guarantee | None = None,
        random_state: int = 0,
    ) -> None:
        self.max_cost = max_cost
        self.min_accuracy = min_accuracy
        self.max_drop = max_drop
        self.tolerance = tolerance
        self.weight = weight
        self.knee = knee
        self.confidence = confidence
        self.cutoffs = cutoffs
        self.drop_exits = drop_exits
        self.temperature_scaling = temperature_scaling
        self.scoring = scoring
        self.guarantee = guarantee
        self.random_state = random_state

    def fit(
        self,
        logits: ArrayLike,
        y: ArrayLike | None,
        costs: ArrayLike,
        *,
        branch_costs: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        scores: ArrayLike | None = None,
        guarantee_data: Mapping[str, Any] | None = None,
    ) -> ThresholdOptimizer:
        """Find the front and choose from it.

        Parameters
        ----------
        logits : array of shape (inputs, exits, classes)
            Each exit's outputs on data that the network was not trained on.
        y : array of shape (inputs,)
            The classes, as integers from 0. ``None`` is possible where ``scores`` are given.
        costs : array of shape (exits,)
            Cost of leaving at each exit, every exit branch on the way included; strictly increasing.
        branch_costs : array of shape (exits,), default=None
            Cost of each exit branch alone, in the same unit: what every input that goes on saves when the exit is dropped.
            Without it, dropping exits saves nothing.
        sample_weight : array of shape (inputs,), default=None
            Weight of each input.
        scores : array of shape (inputs, exits), default=None
            Worth of each input when it leaves at each exit, instead of ``scoring``.
        guarantee_data : mapping, default=None
            Other data for the test of the guarantee, with keys ``logits``, ``y`` and where they apply ``sample_weight`` and
            ``scores``. Without it, a share of the data is set aside.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            When the data do not fit together or the goal cannot be met (:class:`Unreachable`). What an earlier ``fit`` found
            stays as it was.
        """
        return self._fit(
            logits,
            y,
            costs,
            branch_costs=branch_costs,
            sample_weight=sample_weight,
            scores=scores,
            guarantee_data=guarantee_data,
        )

    def fit_closest(self, logits: ArrayLike, y: ArrayLike | None, costs: ArrayLike, **data: Any) -> ThresholdOptimizer:
        """Fit as :meth:`fit` does; where no policy meets the goal, choose the one that comes closest."""
        return self._fit(logits, y, costs, closest=True, **data)

    def _fit(
        self,
        logits: ArrayLike,
        y: ArrayLike | None,
        costs: ArrayLike,
        *,
        branch_costs: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        scores: ArrayLike | None = None,
        guarantee_data: Mapping[str, Any] | None = None,
        closest: bool = False,
    ) -> ThresholdOptimizer:
        outputs = checked(logits, y, sample_weight, scores, self.scoring)
        exit_costs, branches = checked_costs(costs, branch_costs, outputs.logits.shape[1])
        goal = {field.name: getattr(self, field.name) for field in fields(OperatingPoint)}
        wanted = OperatingPoint(**goal)
        measures.check(self.confidence)
        CUTOFFS("cutoffs", self.cutoffs)
        if self.guarantee is not None and (self.cutoffs != TUNED or not self.drop_exits):
            raise ValueError("guarantee: it needs tuned cutoffs and exits that may be dropped")
        if not isinstance(self.guarantee, (Guarantee, type(None))):
            raise ValueError(f"guarantee: {self.guarantee!r} is not a Guarantee; Guarantee(max_drop=0.01) is one")
        if guarantee_data is not None and self.guarantee is None:
            raise ValueError("guarantee_data: it is given, but no guarantee is")

        fitted, labels, judged = outputs, y, outputs
        if self.guarantee is not None:
            fitted, labels, judged = self._parts(self.guarantee, outputs, y, guarantee_data)
        temperatures = None
        if self.temperature_scaling:
            if labels is None:
                raise ValueError("temperature_scaling: it needs the classes y")
            temperatures = best_temperatures(fitted.logits, np.asarray(labels), fitted.weights)
        tempered = fitted.logits if temperatures is None else scaled(fitted.logits, temperatures)
        confidences = Confidences(self.confidence, tempered, fitted.scores, fitted.weights, self.random_state)

        models: dict[Kept, tuple[LearnedConfidence | None, ...] | None] = {}

        def policy(cutoffs: Array) -> ExitPolicy:
            kept = kept_by(cutoffs)
            if kept not in models:
                models[kept] = confidences.models(kept)
            return ExitPolicy(tuple(cutoffs.tolist()), self.confidence, temperatures, models[kept])

        certificate = None
        if self.guarantee is None:
            front = self._front(confidences, fitted, exit_costs, branches)
        else:
            front, certificate = certify(
                self.guarantee,
                confidences,
                fitted=fitted,
                test=judged,
                costs=exit_costs,
                branch_costs=branches,
                policy=policy,
                span=0.0 if scores is not None else _span(self.scoring),
            )
            self._warn_if_nothing_is_certified(self.guarantee, certificate)
        _, one_of_each = np.unique(front.cutoffs < np.inf, axis=0, return_index=True)
        for cutoffs in front.cutoffs[one_of_each]:
            policy(cutoffs)  # its models, while the data are here
        accuracies = np.average(judged.scores, axis=0, weights=judged.weights)
        try:
            certified_only = self.guarantee is not None and not wanted.named() and wanted.max_cost is None
            chosen = front[0] if certified_only else wanted.pick(front, float(accuracies[-1]), float(exit_costs[-1]))
        except Unreachable as error:
            if not closest:
                raise
            chosen = front[0] if error.closest is None else error.closest

        # all at once and last, so that a fit that fails leaves an optimizer as it was
        self._costs, self._branch_costs, self._models = exit_costs, branches, models
        self.n_exits_in_, self.classes_ = outputs.logits.shape[1], np.arange(outputs.logits.shape[2])
        self.temperatures_, self.certificate_, self.front_ = temperatures, certificate, front
        self.single_exit_accuracies_ = accuracies
        self.single_exit_costs_ = exit_costs - branches.cumsum() + branches
        self.chosen_ = chosen
        self.policy_ = self.policy_of(self.chosen_)
        return self

    def point_at(self, **goal: Any) -> TradeOff:
        """The point of ``front_`` that another goal picks: ``max_cost`` and at most one of the other goals."""
        check_is_fitted(self, "front_")
        return OperatingPoint(**goal).pick(self.front_, float(self.single_exit_accuracies_[-1]), float(self._costs[-1]))

    def policy_at(self, **goal: Any) -> ExitPolicy:
        """The policy of the point that another goal picks, such as ``policy_at(max_cost=2e6)``; see :meth:`point_at`."""
        return self.policy_of(self.point_at(**goal))

    def policy_of(self, point: TradeOff) -> ExitPolicy:
        """The policy of a point of ``front_``."""
        check_is_fitted(self, "front_")
        return self._policy(np.array(point.cutoffs))

    def exits(self, logits: ArrayLike) -> NDArray[np.intp]:
        """The exit (inputs,) that each input leaves at under the chosen policy, given (inputs, exits, classes)."""
        check_is_fitted(self, "policy_")
        return self.policy_.exits(logits)

    def predict(self, logits: ArrayLike) -> NDArray[np.intp]:
        """The class (inputs,) that each input gets under the chosen policy, given (inputs, exits, classes)."""
        check_is_fitted(self, "policy_")
        return self.policy_.predict(logits)

    def judge(
        self,
        logits: ArrayLike,
        y: ArrayLike | None,
        *,
        sample_weight: ArrayLike | None = None,
        scores: ArrayLike | None = None,
        points: Sequence[TradeOff] | None = None,
    ) -> Front:
        """Accuracy and cost of every policy of ``front_``, or of some ``points`` of it, on other data, in the same order."""
        check_is_fitted(self, "front_")
        outputs = checked(logits, y, sample_weight, scores, self.scoring)
        if outputs.logits.shape[1] != self.n_exits_in_:
            raise ValueError(f"logits: {outputs.logits.shape[1]} exits do not fit the {self.n_exits_in_} seen in fit")
        cutoffs = self.front_.cutoffs if points is None else np.array([point.cutoffs for point in points])
        return judge(cutoffs, self._policy, outputs, self._costs, self._branch_costs)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the trade-off, the single exits and the chosen point with matplotlib; returns the axes."""
        from nni_earlyexit.thresholds.plot import draw

        check_is_fitted(self, "policy_")
        return draw(
            self.front_,
            self.chosen_,
            self.single_exit_costs_,
            self.single_exit_accuracies_,
            as_percent=isinstance(self.scoring, str),
            ax=ax,
        )

    def _front(self, confidences: Confidences, fitted: Outputs, costs: Array, branch_costs: Array) -> Front:
        scores, weights = fitted.scores, fitted.weights
        if self.cutoffs == TUNED:
            return search_policies(confidences, scores, weights, costs, branch_costs, drop_exits=self.drop_exits)
        every = confidences.of_exits(tuple(range(len(costs))))
        return common_cutoffs(every, scores, weights, costs, None if self.cutoffs == SHARED else float(self.cutoffs))

    def _policy(self, cutoffs: Array) -> ExitPolicy:
        models = self._models[kept_by(cutoffs)]
        return ExitPolicy(tuple(cutoffs.tolist()), self.confidence, self.temperatures_, models)

    def _parts(
        self, guarantee: Guarantee, outputs: Outputs, y: ArrayLike | None, given: Mapping[str, Any] | None
    ) -> tuple[Outputs, ArrayLike | None, Outputs]:
        """The outputs that policies are fitted to, their classes, and the outputs that the guarantee is tested on."""
        if given is not None:
            try:
                test = checked(**{"y": None, **given}, scoring=self.scoring)
            except (TypeError, ValueError) as error:
                raise ValueError(f"guarantee_data: {error}") from None
            if test.logits.shape[1:] != outputs.logits.shape[1:]:
                raise ValueError(
                    f"guarantee_data: logits of shape {test.logits.shape} do not fit those of fit, {outputs.logits.shape}"
                )
            return outputs, y, test
        if len(outputs) < 2:
            raise ValueError("logits: 1 input; a guarantee needs some for fitting and others for its test")
        order = np.random.default_rng(self.random_state).permutation(len(outputs))
        count = int(np.clip(round(guarantee.test_size * len(outputs)), 1, len(outputs) - 1))
        fitted = order[count:]
        labels = None if y is None else np.asarray(y)[fitted]
        return outputs.take(fitted), labels, outputs.take(order[:count])

    def _warn_if_nothing_is_certified(self, guarantee: Guarantee, certificate: Certificate) -> None:
        if certificate.certified:
            return
        more = (
            "no number of inputs would help, because policies that leave early lose more than that"
            if certificate.more_inputs is None
            else f"about {certificate.more_inputs} more inputs would help"
        )
        whom = "" if guarantee.among == ALL else " of those that leave"
        warnings.warn(
            f"guarantee: {certificate.inputs} inputs of its test cannot show with confidence {guarantee.confidence:g} that "
            f"leaving early costs at most {guarantee.max_drop:g} accuracy{whom}, so every input goes to the last exit; {more}",
            stacklevel=4,
        )


def _span(scoring: str | ArrayLike) -> float:
    """The largest possible difference of two scores of an input."""
    return 1.0 if isinstance(scoring, str) else float(np.ptp(np.asarray(scoring, dtype=float), axis=1).max())
