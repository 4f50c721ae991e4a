"""The best combinations of branches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from nni_earlyexit import ThresholdOptimizer
from nni_earlyexit.bank import combinations
from nni_earlyexit.bank.combinations import ABSENT, Combinations, Option

BACKBONE = [10.0, 25.0, 50.0]


def outputs(rng, inputs=400, classes=5):
    """Logits (inputs, classes) of branches after two stages and of the last exit; later ones are better."""
    y = rng.integers(0, classes, inputs)
    hard = rng.random(inputs)

    def logits(quality):
        drawn = rng.normal(size=(inputs, classes))
        drawn[np.arange(inputs), y] += quality * (1.3 - hard)
        return drawn

    stages = [[logits(q) for q in (1.0, 2.0, 2.5)], [logits(q) for q in (2.0, 3.5)]]
    return y, stages, [[1.0, 2.0, 6.0], [1.0, 4.0]], logits(5.0)


def option(logits, cost, y):
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))
    return Option((probability / probability.sum(axis=1, keepdims=True)).max(axis=1), logits.argmax(axis=1) == y, cost)


def made(y, stages, costs, last, **rules):
    options = [
        [option(logits, cost, y) for logits, cost in zip(own, prices, strict=True)]
        for own, prices in zip(stages, costs, strict=True)
    ]
    options = [[own._replace(score=own.score.astype(float)) for own in stage] for stage in options]
    return Combinations(options, (last.argmax(axis=1) == y).astype(float), BACKBONE, **rules)


def front_of(combination, y, stages, costs, last):
    """The front of one combination by the threshold optimizer."""
    chosen = [(stage, position) for stage, position in enumerate(combination) if position != ABSENT]
    own = [costs[stage][position] for stage, position in chosen]
    until = [*(BACKBONE[stage] for stage, _ in chosen), BACKBONE[-1]]
    logits = np.stack([*(stages[stage][position] for stage, position in chosen), last], axis=1)
    paid = np.asarray(until) + np.cumsum([*own, 0.0])
    return ThresholdOptimizer().fit(logits, y, paid, branch_costs=[*own, 0.0]).front_


def test_the_best_at_each_price_are_those_of_the_threshold_optimizer(rng):
    task = outputs(rng)
    found = made(*task)
    winners = found.best()
    assert len(found) == found.valued == 4 * 3
    every = list(itertools.product(range(-1, 3), range(-1, 2)))
    fronts = {combination: front_of(combination, *task) for combination in every}
    for price in (0.002, 0.005, 0.01, 0.02):
        value = {c: (front.accuracy - price * front.avg_cost).max() for c, front in fronts.items()}
        assert max(value[c] for c in winners) == pytest.approx(max(value.values()), abs=2e-3)


def test_changing_one_stage_at_a_time_finds_what_valuing_all_finds(rng, monkeypatch):
    task = outputs(rng)
    whole = made(*task)
    winners = whole.best()
    monkeypatch.setattr(combinations, "MAX_VALUED", 0)
    walked = made(*task)
    found = walked.best()
    assert walked.valued <= whole.valued
    for price in range(len(walked._prices)):
        best = max(whole.values(c)[price] for c in winners)
        assert max(walked.values(c)[price] for c in found) == pytest.approx(best, abs=2e-3)


def test_the_combination_without_exits_is_the_backbone(rng):
    y, stages, costs, last = outputs(rng)
    found = made(y, stages, costs, last)
    values = found.values((ABSENT, ABSENT))
    assert values == pytest.approx((last.argmax(axis=1) == y).mean() - found._prices * BACKBONE[-1])


@pytest.mark.parametrize("most", [0, 10_000])
def test_only_what_is_allowed_is_found(rng, monkeypatch, most):
    monkeypatch.setattr(combinations, "MAX_VALUED", most)
    found = made(*outputs(rng), allowed=lambda combination: sum(p != ABSENT for p in combination) == 1)
    assert all(sum(position != ABSENT for position in combination) == 1 for combination in found.best())
    assert len(found.every()) == 3 + 2


@pytest.mark.parametrize("most", [0, 10_000])
def test_where_nothing_is_allowed_there_is_no_best_and_what_is_allowed_is_looked_for(rng, monkeypatch, most):
    monkeypatch.setattr(combinations, "MAX_VALUED", most)
    task = outputs(rng)
    assert made(*task, allowed=lambda combination: False).best() == []
    assert made(*task, allowed=lambda combination: combination == (2, 1)).best() == [(2, 1)]
