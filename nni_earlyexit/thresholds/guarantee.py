"""A guarantee that holds for the data that cutoffs will meet, not only for those that they were fitted to.

Learn then Test (Angelopoulos et al., arXiv 2110.01052) with fixed-sequence testing: policies are put in order, safest
first, by data that the test does not use; each is tested in turn, at the full level, and the first that fails ends it.
So with the promised probability none of those that passed drops more than was promised, whichever of them is then taken.

The test is a bet against "the drop is larger than ``max_drop``" (Waudby-Smith and Ramdas, arXiv 2010.09686). With the
drop D of an input, the score of the last exit minus that of the policy, the capital::

    product over inputs of (1 + bet * (max_drop - D))

is 1 on average at most if the mean of D is ``max_drop`` or more, so that it hardly ever exceeds 1 / (1 - confidence)
(Markov). Inputs that the policy gets right and the last exit wrong count in its favour, and what varies little is certified
with few inputs. The logarithm of the capital is a sum over inputs, each of which depends only on the exit it leaves at. So
it is a score like any other: the policies that are worth a test are the front of cost against it.

The mean of D may be over all inputs, or over those alone that leave early: the selective risk, cf. Jazbec et al.
(arXiv 2405.20915). The latter is the stronger promise, for inputs at the last exit, whose drop is 0, cannot make up for
others. It is the same bet without the inputs that the policy sends to the last exit: the mean of D among the others is
``max_drop`` or more just where that of (D - ``max_drop``) * (leaves early) over all is 0 or more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from nni_earlyexit.thresholds.cutoff_problem import cheapest_first
from nni_earlyexit.thresholds.exit_outputs import Outputs
from nni_earlyexit.thresholds.exit_subsets import Array, Confidences, exits_of_each, judge, kept_by, search_policies
from nni_earlyexit.thresholds.policy import ExitPolicy, first_sure_exit
from nni_earlyexit.thresholds.policy_front import Front
from nni_earlyexit.utils.checks import Check, is_number, one_of, positive

BETS = np.linspace(0.02, 0.98, 49)
"""Bets that are tried, as shares of the largest that cannot lose everything."""
BET_ROUNDS = 2
"""Times that the bet is made for the policies found with the one before."""
CANDIDATES = 100
"""Most policies that are tested."""
MOST = 1e6
"""Largest bet, where none can lose everything."""


ALL, EARLY = "all", "early"
"""Inputs that the mean of a guarantee is over."""

_BETWEEN = Check("a fraction between 0 and 1", lambda v: is_number(v) and 0 < v < 1)


@dataclass(frozen=True)
class Guarantee:
    """A promise: with probability ``confidence`` over the calibration data, the true drop is at most ``max_drop``.

    It holds for inputs of weights, and of scores that were given input by input, that are no larger than those seen.

    Parameters
    ----------
    max_drop
        Largest mean of (score of the last exit - score of the policy); a fraction of accuracy with the default scoring.
    confidence
        Probability, over calibration sets that are drawn as the inputs to come are, that it holds.
    test_size
        Share of the data that is kept for the test; policies are fitted to the rest.
    among
        Inputs that the mean is over: ``"all"``, or ``"early"`` for those that leave before the last exit (selective risk).
    """

    max_drop: float
    confidence: float = 0.95
    test_size: float = 0.5
    among: str = ALL

    def __post_init__(self) -> None:
        positive()("max_drop of a guarantee", self.max_drop)
        for name in ("confidence", "test_size"):
            _BETWEEN(f"{name} of a guarantee", getattr(self, name))
        one_of((ALL, EARLY))("among of a guarantee", self.among)

    @property
    def needed(self) -> float:
        """Logarithm of the capital that proves the promise."""
        return -math.log1p(-self.confidence)


@dataclass(frozen=True)
class Certificate:
    """Outcome of the test of a guarantee.

    Attributes
    ----------
    inputs
        Inputs of the test.
    tested, certified
        Policies that were tested, and those that passed.
    more_inputs
        Estimate of the further inputs, for fitting and test together, with which the first one that leaves early would
        pass; 0 when one did, ``None`` when no number of inputs would do.
    """

    inputs: int
    tested: int
    certified: int
    more_inputs: int | None


def certify(
    guarantee: Guarantee,
    confidences: Confidences,
    fitted: Outputs,
    test: Outputs,
    costs: Array,
    branch_costs: Array,
    policy: Callable[[Array], ExitPolicy],
    span: float = 0.0,
) -> tuple[Front, Certificate]:
    """The policies that passed, as they are on ``test``, and how that went; the last exit for everything always passes.

    The policies, their order and the bet come from ``fitted``, whose ``confidences`` are known; ``policy`` makes a policy of
    cutoffs. ``span`` is how far two scores of an input can be apart, which those that were seen need not show.
    """
    span = max(span, *(float(np.ptp(part.scores)) for part in (fitted, test)))
    limit = min(1 / (span - guarantee.max_drop), MOST) if span > guarantee.max_drop else MOST
    heaviest = max(part.weights.max() for part in (fitted, test))

    def gains(part: Outputs, bet: float) -> Array:
        """Amount (inputs, exits) that each input adds to the logarithm of the capital at each exit."""
        drop = part.scores[:, -1:] - part.scores
        gain: Array = np.log1p(bet * part.weights[:, None] / heaviest * (guarantee.max_drop - drop))
        if guarantee.among == EARLY:
            gain[:, -1] = 0
        return gain

    def candidates(bet: float) -> Front:
        """The front of cost against gain per unit of weight, without the policy that needs no test."""
        own = fitted.weights[:, None]
        front = search_policies(
            confidences, gains(fitted, bet) / np.where(own > 0, own, 1), fitted.weights, costs, branch_costs
        )
        return front[np.isfinite(front.cutoffs[:, :-1]).any(axis=1)]

    per_input = fitted.weights.mean()  # of the front's gains, which are per unit of weight
    bet = 0.5 * limit
    for _ in range(BET_ROUNDS):
        front = candidates(bet)
        if not len(front):
            break
        # the bet is made for the cheapest policy that is expected to pass
        passing = np.flatnonzero(front.accuracy * per_input * len(test) >= guarantee.needed)
        target = front.cutoffs[int(passing[0]) if len(passing) else int(front.accuracy.argmax())]
        leaving = first_sure_exit(confidences.of_exits(kept_by(target)), target, kept_by(target))
        bets = BETS * limit
        bet = float(bets[np.argmax([gains(fitted, b)[np.arange(len(fitted)), leaving].mean() for b in bets])])
    front = candidates(bet)[::-1]  # safest first
    front = front[front.accuracy > 0]  # the others lose the bet even on the data that they were fitted to
    chosen = np.linspace(0, len(front) - 1, min(CANDIDATES, len(front))).round().astype(int)
    cutoffs = front.cutoffs[chosen]

    passed, tested = [], 0
    test_gains, inputs = gains(test, bet), np.arange(len(test))
    for row, leaving in zip(cutoffs, exits_of_each(cutoffs, policy, test.logits), strict=True):
        tested += 1
        if test_gains[inputs, leaving].sum() < guarantee.needed:
            break
        passed.append(row)
    only_last = np.append(np.full(len(costs) - 1, np.inf), -np.inf)
    certified = judge(np.array([*passed, only_last]), policy, test, costs, branch_costs)
    more = 0 if passed else _more_inputs(guarantee, front.accuracy.max(initial=0.0) * per_input, len(test))
    best = cheapest_first(certified.avg_cost, certified.accuracy)
    return certified[best], Certificate(len(test), tested, len(passed), more)


def _more_inputs(guarantee: Guarantee, gain: float, inputs: int) -> int | None:
    """Further inputs with which an expected ``gain`` per input suffices, given that it did not with ``inputs``."""
    if gain <= 0:
        return None
    needed = max(guarantee.needed / gain, 2 * inputs)  # it was expected to suffice: then it was bad luck
    return math.ceil((needed - inputs) / guarantee.test_size)
