from __future__ import annotations

import warnings

import numpy as np
import pytest
from nni_earlyexit import Guarantee, ThresholdOptimizer


def population(inputs, seed=0):
    """Three exits of which earlier ones are right more rarely, and know it fairly well."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, inputs)
    difficulty = rng.random(inputs)
    logits = rng.normal(0, 0.3, (inputs, 3, 4))
    for k, skill in enumerate((0.6, 0.8, 0.95)):
        right = difficulty < skill + rng.normal(0, 0.05, inputs)
        answer = np.where(right, y, (y + rng.integers(1, 4, inputs)) % 4)
        sure = 3 * np.clip(skill - difficulty, 0, 1) + 1
        logits[np.arange(inputs), k, answer] += sure
    return logits, y


COSTS, BRANCHES = [20, 50, 100], [2, 3, 1]


@pytest.fixture(scope="module")
def pool():
    return population(20_000)


def fit(logits, y, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ThresholdOptimizer(**arguments).fit(logits, y, COSTS, branch_costs=BRANCHES)


def drop(policy, logits, y):
    """Accuracy of the last exit minus that of the policy."""
    return (logits[:, -1].argmax(axis=-1) == y).mean() - (policy.predict(logits) == y).mean()


@pytest.mark.slow
@pytest.mark.parametrize(("max_drop", "confidence"), [(0.01, 0.9), (0.03, 0.8)])
def test_the_promise_is_broken_no_more_often_than_it_says(pool, max_drop, confidence):
    logits, y = pool
    draws, broken = 120, 0
    for seed in range(draws):
        chosen = np.random.default_rng(seed).integers(0, len(y), 600)
        opt = fit(logits[chosen], y[chosen], guarantee=Guarantee(max_drop, confidence), random_state=seed)
        broken += drop(opt.policy_, logits, y) > max_drop
    # three standard errors above what is promised
    allowed = (1 - confidence) * draws
    assert broken <= allowed + 3 * np.sqrt(allowed * confidence)


def selective_drop(policy, logits, y):
    """Accuracy of the last exit minus that of the policy, among the inputs that leave early."""
    early = policy.exits(logits) < logits.shape[1] - 1
    return drop(policy, logits[early], y[early]) if early.any() else 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("max_drop", "confidence", "draws"), [(0.04, 0.8, 1000), (0.02, 0.9, 120)])
def test_the_promise_for_those_that_leave_early_is_broken_no_more_often_than_it_says(pool, max_drop, confidence, draws):
    logits, y = pool
    broken = leaving = 0
    for seed in range(draws):
        chosen = np.random.default_rng(seed).integers(0, len(y), 600)
        opt = fit(
            logits[chosen], y[chosen], guarantee=Guarantee(max_drop, confidence, among="early"), random_state=seed
        )
        broken += selective_drop(opt.policy_, logits, y) > max_drop
        leaving += opt.chosen_.shares[-1] < 1
    allowed = (1 - confidence) * draws
    assert broken <= allowed + 3 * np.sqrt(allowed * confidence)
    assert leaving > draws / 5  # it is not kept by letting nothing leave


def test_the_promise_for_those_that_leave_early_is_the_stronger_one(pool):
    logits, y = pool
    everyone, early = (
        fit(logits[:6000], y[:6000], guarantee=Guarantee(0.02, among=among)) for among in ("all", "early")
    )
    assert early.chosen_.avg_cost > everyone.chosen_.avg_cost
    assert selective_drop(everyone.policy_, logits[6000:], y[6000:]) > 0.02
    assert selective_drop(early.policy_, logits[6000:], y[6000:]) < 0.02
    with pytest.raises(ValueError, match=r"among of a guarantee: 'late' is not possible; 'all' and 'early' are"):
        Guarantee(0.02, among="late")


def test_more_inputs_allow_more_to_leave_early(pool):
    logits, y = pool
    costs = [fit(logits[:n], y[:n], guarantee=Guarantee(0.01)).chosen_.avg_cost for n in (200, 2000, 20_000)]
    assert costs[0] > costs[1] > costs[2]
    assert costs[0] == 100 - 2 - 3  # the last exit for everything, no other one run


@pytest.mark.parametrize("confidence", ["max_prob", "learned"])
def test_all_that_can_be_chosen_is_certified_on_inputs_that_nothing_else_used(pool, confidence):
    logits, y = pool
    opt = fit(logits[:6000], y[:6000], guarantee=Guarantee(0.02, 0.95), confidence=confidence)
    certificate = opt.certificate_
    assert certificate.inputs == 3000
    assert 0 < certificate.certified <= certificate.tested <= certificate.certified + 1
    assert certificate.more_inputs == 0
    # the front is as it is on the inputs of the test
    test = np.random.default_rng(0).permutation(6000)[:3000]
    found = opt.judge(logits[test], y[test])
    np.testing.assert_allclose(found.accuracy, opt.front_.accuracy)
    np.testing.assert_allclose(found.avg_cost, opt.front_.avg_cost)
    assert opt.chosen_ == opt.front_[0]
    for point in opt.front_:
        assert drop(opt.policy_of(point), logits[6000:], y[6000:]) < 0.02


def test_other_data_can_be_given_for_the_test(pool):
    logits, y = pool
    opt = ThresholdOptimizer(guarantee=Guarantee(0.02), temperature_scaling=True)
    test = {"logits": logits[3000:6000], "y": y[3000:6000], "sample_weight": np.ones(3000)}
    opt.fit(logits[:3000], y[:3000], COSTS, guarantee_data=test)
    assert opt.certificate_.inputs == 3000
    plain = ThresholdOptimizer(temperature_scaling=True).fit(logits[:3000], y[:3000], COSTS)
    assert opt.temperatures_ == plain.temperatures_
    np.testing.assert_allclose(opt.judge(logits[3000:6000], y[3000:6000]).accuracy, opt.front_.accuracy)


def test_goals_choose_among_what_is_certified(pool):
    logits, y = pool
    cheapest = fit(logits[:6000], y[:6000], guarantee=Guarantee(0.02))
    most_accurate = fit(logits[:6000], y[:6000], guarantee=Guarantee(0.02), tolerance=0.0)
    assert most_accurate.chosen_.accuracy == max(point.accuracy for point in most_accurate.front_)
    assert most_accurate.chosen_.accuracy > cheapest.chosen_.accuracy
    best = fit(logits[:6000], y[:6000], guarantee=Guarantee(0.02), max_cost=90)
    assert best.chosen_.accuracy >= cheapest.chosen_.accuracy
    with pytest.raises(ValueError, match=r"max_cost: 20 cannot be met; the cheapest policy costs"):
        fit(logits[:6000], y[:6000], guarantee=Guarantee(0.02), max_cost=20)


def test_too_few_inputs_give_the_last_exit_and_a_warning_with_how_many_would_help(pool):
    logits, y = pool
    opt = ThresholdOptimizer(guarantee=Guarantee(0.01))
    with pytest.warns(
        UserWarning, match=r"guarantee: 50 inputs .* cannot show with confidence 0.95 .* more inputs would"
    ):
        opt.fit(logits[:100], y[:100], COSTS, branch_costs=BRANCHES)
    assert opt.policy_.kept == (2,)
    assert opt.chosen_.shares == (0, 0, 1)
    more = opt.certificate_.more_inputs
    assert 100 < more < 20_000
    enough = fit(logits[: 100 + 3 * more], y[: 100 + 3 * more], guarantee=Guarantee(0.01))
    assert enough.certificate_.certified > 0


def test_it_says_when_no_number_of_inputs_would_help():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 4000)
    logits = np.stack([rng.normal(size=(4000, 4)), 9 * np.eye(4)[y]], axis=1)  # the first exit knows nothing
    with pytest.warns(UserWarning, match="no number of inputs would help"):
        opt = ThresholdOptimizer(guarantee=Guarantee(0.0001)).fit(logits, y, [1, 2])
    assert opt.certificate_.more_inputs is None


def test_weights_and_scores_are_what_the_promise_is_about(pool):
    """An input of weight zero cannot break it, and scores of another size are dropped on their own scale."""
    logits, y = population(8000, seed=1)
    wrong = np.where(np.arange(8000) % 2, y, (y + 1) % 4)  # every second class is nonsense
    weights = np.arange(8000) % 2
    opt = ThresholdOptimizer(guarantee=Guarantee(0.02)).fit(logits, wrong, COSTS, sample_weight=weights)
    used = weights == 1
    assert drop(opt.policy_, logits[used], y[used]) <= 0.02
    assert opt.chosen_.avg_cost < 95
    scores = 10.0 * (logits.argmax(axis=-1) == y[:, None])
    tens = ThresholdOptimizer(guarantee=Guarantee(0.2)).fit(logits, None, COSTS, scores=scores)
    ones = ThresholdOptimizer(guarantee=Guarantee(0.02)).fit(logits, y, COSTS)
    assert tens.chosen_.avg_cost == pytest.approx(ones.chosen_.avg_cost, rel=0.02)


def test_a_drop_that_nothing_can_exceed_lets_everything_leave(pool):
    logits, y = pool
    assert fit(logits[:500], y[:500], guarantee=Guarantee(1.0)).chosen_.shares[0] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"max_drop": 0}, "max_drop of a guarantee: 0 is not possible; a positive number is"),
        ({"max_drop": 0.01, "confidence": 1.0}, "confidence of a guarantee: 1.0 is not possible; a fraction between"),
        ({"max_drop": 0.01, "test_size": 0}, "test_size of a guarantee: 0 is not possible"),
        ({"max_drop": "1%"}, "max_drop of a guarantee: '1%' is not possible"),
    ],
)
def test_a_guarantee_that_cannot_be_given_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        Guarantee(**arguments)


def test_data_that_do_not_fit_are_refused(pool):
    logits, y = pool[0][:50], pool[1][:50]
    opt = ThresholdOptimizer(guarantee=Guarantee(0.1))
    with pytest.raises(ValueError, match=r"guarantee_data: logits of shape \(50, 2, 4\) do not fit"):
        opt.fit(logits, y, COSTS, guarantee_data={"logits": logits[:, :2], "y": y})
    with pytest.raises(ValueError, match="guarantee_data: .*labels"):
        opt.fit(logits, y, COSTS, guarantee_data={"logits": logits, "labels": y})
    with pytest.raises(ValueError, match="logits: 1 input; a guarantee needs some"):
        opt.fit(logits[:1], y[:1], COSTS)
    with pytest.raises(ValueError, match="guarantee: 0.01 is not a Guarantee"):
        ThresholdOptimizer(guarantee=0.01).fit(logits, y, COSTS)


@pytest.mark.parametrize("among", ["all", "early"])
def test_a_few_inputs_that_are_all_right_prove_nothing(among):
    """No exit was seen to fail, but one fails for 2% of all inputs: what was not seen must count as possible."""
    broken = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 4, 60)
        logits = np.stack([5 * np.eye(4)[y]] * 3, axis=1) + rng.normal(0, 0.1, (60, 3, 4))
        wrong = rng.random(60) < 0.02
        logits[wrong, 0] = np.roll(logits[wrong, 0], 1, axis=1)
        opt = fit(logits, y, guarantee=Guarantee(0.01, 0.95, among=among), random_state=seed)
        broken += np.isfinite(opt.policy_.cutoffs[0])
    assert broken <= 0.05 * 60 + 3 * np.sqrt(60 * 0.05 * 0.95)
