"""Which trials go on: rungs, places on them, and what is known after a resume."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nni_earlyexit.search.successive_halving import Result, SuccessiveHalving, places


def metrics(accuracy, avg_macs=1e6, **others):
    return {"accuracy": accuracy, "avg_macs": avg_macs, **others}


def by_accuracy(**arguments):
    return SuccessiveHalving(**{"epochs": 27, "objectives": {"accuracy": "max"}, **arguments})


def reports(halving, epoch, accuracies):
    return [halving.report(str(trial), epoch, metrics(accuracy)) for trial, accuracy in enumerate(accuracies)]


def test_rungs_grow_by_the_factor_and_end_before_the_last_epoch():
    assert list(by_accuracy(epochs=27).rungs) == [1, 3, 9]
    assert list(by_accuracy(epochs=28).rungs) == [1, 3, 9, 27]
    assert list(by_accuracy(epochs=20, first_rung=2, factor=4).rungs) == [2, 8]


def test_a_trial_goes_on_when_it_is_among_the_best_third():
    #                       too few    best   2 of 6 are the best third
    assert reports(by_accuracy(), 1, [0.5, 0.4, 0.6, 0.5, 0.3, 0.55]) == [True, True, True, False, False, True]


def test_a_larger_factor_stops_more():
    accuracies = np.random.default_rng(0).random(200)
    went_on = [sum(reports(by_accuracy(factor=factor), 1, accuracies)) for factor in (2, 4, 8)]
    assert went_on == sorted(went_on, reverse=True)
    assert went_on[0] == pytest.approx(100, abs=15)
    assert went_on[2] == pytest.approx(25, abs=15)


def test_between_rungs_and_at_the_last_epoch_nobody_is_stopped():
    halving = by_accuracy()
    assert all(reports(halving, 1, [0.9, 0.9, 0.9]))
    for epoch in (2, 27, 30):
        assert halving.report("0", epoch, metrics(0.0))
    assert halving.report("late", 27, metrics(0.0))


def test_a_stopped_trial_stays_stopped():
    halving = by_accuracy()
    assert reports(halving, 1, [0.5, 0.6, 0.1]) == [True, True, False]
    assert not halving.report("2", 2, metrics(0.9))
    assert halving.stopped == {"2"}


def test_equal_trials_are_treated_equally():
    assert all(reports(by_accuracy(), 1, [0.1] * 20))
    equal = SuccessiveHalving(epochs=9)
    assert all(equal.report(str(trial), 1, metrics(0.5, 1e6)) for trial in range(20))


def test_a_trial_that_runs_again_is_judged_once():
    halving = by_accuracy()
    assert reports(halving, 1, [0.5, 0.4, 0.6]) == [True, True, True]
    assert halving.report("0", 1, metrics(0.0))
    assert len(halving.rungs[1]) == 3


def test_a_trial_that_skips_a_rung_counts_at_the_next_one():
    halving = by_accuracy()
    assert halving.report("a", 4, metrics(0.5))
    assert [len(reached) for reached in halving.rungs.values()] == [0, 1, 0]
    assert halving.report("a", 5, metrics(0.1))
    assert halving.rungs[3]["a"] == Result((-0.5,), 0)


@pytest.mark.parametrize(
    "bad", [{}, {"accuracy": None}, metrics(math.nan), metrics(math.inf), metrics("high"), metrics(10**400)]
)
def test_what_cannot_be_compared_comes_last(bad):
    halving = by_accuracy()
    assert reports(halving, 1, [0.5, 0.0]) == [True, True]
    assert not halving.report("bad", 1, bad)


def test_trials_over_a_limit_come_after_those_within_and_the_nearest_first():
    over = [Result((-0.9,), 0.5), Result((-0.1,), 0.1)]
    assert list(places([*over, Result((-0.2,), 0), Result(None, 0)])) == [2, 1, 0, 3]


def test_non_dominated_trials_come_first_and_lonely_ones_before_crowded_ones():
    front = [Result((0, 4), 0), Result((1, 2.2), 0), Result((1.1, 2), 0), Result((4, 0), 0)]
    dominated = [Result((2, 3), 0), Result((5, 5), 0)]
    assert list(places([*front, *dominated])) == [0, 3, 2, 0, 4, 5]


def test_a_cheap_trial_goes_on_although_it_is_less_accurate():
    halving = SuccessiveHalving(epochs=9)
    for trial, (accuracy, avg_macs) in enumerate([(0.9, 9e5), (0.8, 8e5), (0.85, 8.5e5), (0.7, 7e5), (0.6, 9e5)]):
        halving.report(str(trial), 1, metrics(accuracy, avg_macs))
    assert halving.report("cheap", 1, metrics(0.3, 1e5))
    assert not halving.report("neither", 1, metrics(0.5, 9.5e5))


results = st.lists(
    st.builds(
        Result,
        st.none() | st.tuples(st.integers(-3, 3).map(float), st.integers(-3, 3).map(float)),
        st.sampled_from([0.0, 0.0, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=12,
)


@given(results, st.randoms(use_true_random=False))
def test_places_do_not_depend_on_the_order(found, random):
    shuffled = random.sample(range(len(found)), len(found))
    assert list(places(found)[shuffled]) == list(places([found[i] for i in shuffled]))


@given(results)
def test_a_dominated_trial_comes_after_the_one_that_dominates_it(found):
    comparable = [
        (place, np.array(r.losses)) for place, r in zip(places(found), found, strict=True) if r.losses and not r.excess
    ]
    for place, losses in comparable:
        for other_place, other_losses in comparable:
            if (losses <= other_losses).all() and (losses < other_losses).any():
                assert place < other_place


def test_it_goes_on_from_its_state_as_if_nothing_had_happened():
    draws = np.random.default_rng(1).random((60, 2))
    steps = [(str(i % 30), 1 if i < 30 else 3, metrics(a, m, excess=0)) for i, (a, m) in enumerate(draws)]
    whole = SuccessiveHalving(epochs=9)
    expected = [whole.report(*step) for step in steps]
    first = SuccessiveHalving(epochs=9)
    before = [first.report(*step) for step in steps[:25]]
    second = SuccessiveHalving(epochs=9, objectives={"avg_macs": "min", "accuracy": "max"})
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False, sort_keys=True)))
    assert before + [second.report(*step) for step in steps[25:]] == expected
    assert second.state_dict() == whole.state_dict()


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"factor": 4}, "state: factor is 3, not 4"),
        ({"objectives": {"accuracy": "max"}}, r"state: objectives is \{.*avg_macs.*\}, not \{'accuracy': 'max'\}"),
    ],
)
def test_the_state_of_another_halving_is_refused(other, sentence):
    with pytest.raises(ValueError, match=sentence):
        SuccessiveHalving(**{"epochs": 9, **other}).load_state_dict(SuccessiveHalving(epochs=9).state_dict())
    with pytest.raises(ValueError, match="state: version is None, not 2"):
        SuccessiveHalving(epochs=9).load_state_dict({})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "classArgs: epochs is missing; it is that of the trialCommand"),
        ({"epochs": 9, "first_rungs": 1}, "classArgs: 'first_rungs' is unknown; did you mean 'first_rung'"),
        ({"epochs": 1}, "epochs: 1 is not possible; a whole number from 2 is"),
        ({"epochs": "9"}, "epochs: '9' is not possible; a whole number from 2 is"),
        ({"epochs": 9, "factor": 1}, "factor: 1 is not possible; a whole number from 2 is"),
        ({"epochs": 9, "factor": 2.5}, "factor: 2.5 is not possible; a whole number from 2 is"),
        ({"epochs": 9, "first_rung": 0}, "first_rung: 0 is not possible; a whole number from 1 is"),
        ({"epochs": 9, "first_rung": 9}, "first_rung: 9 is not possible; with 9 epochs, a whole number from 1 to 8 is"),
        ({"epochs": 9, "objectives": {"speed": "max"}}, "objectives: 'speed' is unknown"),
    ],
)
def test_arguments_that_cannot_work(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        SuccessiveHalving.parse(arguments)
