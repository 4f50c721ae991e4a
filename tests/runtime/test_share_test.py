from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit.runtime import ShareTest
from nni_earlyexit.runtime.share_test import _log_best, _ranges
from scipy.optimize import minimize
from scipy.stats import binom, multinomial

SHARES = np.array([0.05, 0.6, 0.34, 0.01])


def stream(rng, shares, inputs):
    return rng.choice(len(shares), inputs, p=shares)


def first_alarm(test, exits, batch):
    """Inputs until the alarm; ``None`` without one."""
    for start in range(0, len(exits), batch):
        if test.add(exits[start : start + batch]):
            return start + batch
    return None


def test_capital_is_one_on_average_for_a_reference_that_is_the_truth():
    """So alarms are as rare as stated (Ville). Exactly, over all that two looks can show; a new bet begins after each."""
    chances = binom.pmf(np.arange(33), 32, 0.3)
    first = second = 0.0
    for zeros, chance in enumerate(chances):
        for more, other in enumerate(chances):
            test = ShareTest(1e12 * np.array([0.3, 0.7]), 0.01, every=32)
            test.add(np.repeat([0, 1], [zeros, 32 - zeros]))
            first += chance * other * np.exp(test.evidence())
            test.add(np.repeat([0, 1], [more, 32 - more]))
            second += chance * other * np.exp(test.evidence())
    stakes = 6 / np.pi**2 / np.arange(1, 4) ** 2
    assert first == pytest.approx(stakes[:2].sum(), rel=0.01)
    assert second == pytest.approx(stakes.sum(), rel=0.01)


def test_the_reference_is_not_taken_for_the_truth():
    """A small reference is off by chance; a long stream that is as it should be raises no alarm."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        test = ShareTest(rng.multinomial(200, SHARES), 0.01)
        assert first_alarm(test, stream(rng, SHARES, 20_000), batch=1000) is None


@pytest.mark.parametrize("before", [0, 20_000])
def test_a_shift_is_noticed_soon_whenever_it_comes(before):
    rng = np.random.default_rng(2)
    test = ShareTest(rng.multinomial(10_000, SHARES), 0.01)
    assert first_alarm(test, stream(rng, SHARES, before), batch=100) is None
    needed = first_alarm(test, stream(rng, [0.05, 0.4, 0.5, 0.05], 5000), batch=50)
    assert needed is not None
    assert needed <= (300 if before else 150)
    assert test.alarm


def test_one_alarm_is_raised_and_stays():
    test = ShareTest([500, 500], 0.01)
    raised = [test.add(np.zeros(50, dtype=int)) for _ in range(10)]
    assert sum(raised) == 1
    assert test.alarm
    for _ in range(50):
        assert not test.add(np.array([0, 1] * 50))
    assert test.alarm
    assert test.seen.tolist() == [500 + 2500, 2500]


def test_an_exit_that_the_reference_never_took_is_noticed():
    test = ShareTest([1000, 0, 1000], 0.01)
    assert not test.add(np.array([0, 2] * 20))
    assert test.add(np.array([0, 1, 2] * 30))


def test_ranges_hold_the_truth_as_often_as_stated():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(500):
        least, most = _ranges(rng.multinomial(300, SHARES).astype(float), 0.1)
        held += bool(((least <= SHARES) & (most >= SHARES)).all())
    assert held >= 450
    least, most = _ranges(np.array([0.0, 100.0]), 0.1)
    assert least[0] == 0
    assert most[1] == pytest.approx(1)


@pytest.mark.parametrize("counts", [[5, 20, 75], [0, 0, 40], [90, 5, 5], [0, 30, 0]])
def test_the_best_shares_within_ranges_are_those_that_a_solver_finds(counts):
    least, most = np.array([0.02, 0.1, 0.3]), np.array([0.2, 0.5, 0.7])
    counts = np.array(counts, dtype=float)
    solved = minimize(
        lambda shares: -(counts * np.log(shares)).sum(),
        [0.1, 0.3, 0.6],
        bounds=list(zip(least, most, strict=True)),
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1},
        options={"ftol": 1e-12},
    )
    assert _log_best(counts[None], least, most)[0] == pytest.approx(-solved.fun, rel=1e-4)


def test_evidence_is_the_ratio_that_it_says():
    """For a reference so large that its ranges are points: averaged over the prior by sampling, beside the reference's."""
    rng = np.random.default_rng(4)
    test = ShareTest(1e12 * np.array([0.3, 0.7]), 0.01)
    counts = np.array([15, 17])
    test.add(np.repeat([0, 1], counts))
    averaged = multinomial.pmf(counts, 32, rng.dirichlet([0.5, 0.5], 200_000)).mean()
    ratio = averaged / multinomial.pmf(counts, 32, [0.3, 0.7])
    assert np.exp(test.evidence()) == pytest.approx(6 / np.pi**2 * ratio, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "counts: "),
        (([0, 0],), "counts: "),
        (([-1, 2],), "counts: "),
        (([1, 2], 0), "false_alarm: 0 is not possible; a fraction between 0 and 1 is"),
        (([1, 2], 0.01, 0), "every: 0 "),
    ],
)
def test_what_is_not_possible_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShareTest(*arguments)


def test_inputs_one_at_a_time_are_the_same_as_together():
    exits = stream(np.random.default_rng(5), [0.05, 0.4, 0.5, 0.05], 640)
    one, many = (ShareTest([50, 600, 340, 10], 0.01) for _ in range(2))
    raised = [one.add(exits[place : place + 1]) for place in range(len(exits))]
    for place in range(0, len(exits), 32):
        many.add(exits[place : place + 32])
    assert sum(raised) == 1
    assert one.alarm
    assert many.alarm
    assert one.evidence() == many.evidence()
    assert one.seen.tolist() == many.seen.tolist() == np.bincount(exits).tolist()
