from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_earlyexit import ExitPolicy
from nni_earlyexit.thresholds import confidence
from nni_earlyexit.thresholds.learned_confidence import LearnedConfidence

INF = math.inf


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 2, (40, 3, 5)).astype(np.float32)


def exits_one_by_one(policy, logits):
    """The definition: an input leaves at the first exit whose confidence is at least that exit's cutoff."""
    measure, found = confidence.MEASURES[policy.confidence], []
    for outputs in logits:
        for exit, cutoff in enumerate(policy.cutoffs):
            temperature = 1 if policy.temperatures is None else policy.temperatures[exit]
            if measure(outputs[None, exit] / np.float32(temperature))[0] >= cutoff:
                found.append(exit)
                break
    return found


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.one_of(st.just(INF), st.floats(0, 1.1)), min_size=2, max_size=2),
    st.sampled_from(sorted(confidence.MEASURES)),
    st.one_of(st.none(), st.tuples(*[st.floats(0.1, 10)] * 3)),
)
def test_an_input_leaves_at_the_first_exit_that_is_sure_enough(cutoffs, measure, temperatures):
    logits = np.random.default_rng(0).normal(0, 2, (20, 3, 5)).astype(np.float32)
    policy = ExitPolicy((*cutoffs, -INF), measure, temperatures)
    assert policy.exits(logits).tolist() == exits_one_by_one(policy, logits)


def test_the_prediction_is_the_class_of_the_exit_that_the_input_leaves_at(logits):
    policy = ExitPolicy((0.6, 0.5, -INF))
    expected = [outputs[exit].argmax() for outputs, exit in zip(logits, policy.exits(logits), strict=True)]
    assert policy.predict(logits).tolist() == expected
    assert len(set(policy.exits(logits))) == 3


def test_a_confidence_equal_to_the_cutoff_leaves(logits):
    cutoff = float(confidence.max_prob(logits[:, 0]).max())
    assert (ExitPolicy((cutoff, INF, -INF)).exits(logits) == 0).sum() == 1


def test_nothing_leaves_at_an_infinite_cutoff_and_everything_at_the_last_exit(logits):
    assert set(ExitPolicy((INF, INF, -INF)).exits(logits)) == {2}


def test_a_temperature_makes_an_exit_less_sure(logits):
    cold, warm = (ExitPolicy((0.5, INF, -INF), temperatures=(t, 1.0, 1.0)) for t in (1.0, 4.0))
    assert (warm.exits(logits) == 0).sum() < (cold.exits(logits) == 0).sum()


def test_a_temperature_works_on_integer_logits_too():
    logits = np.array([[[9, 0], [9, 0]], [[0, 1], [9, 0]]])
    policy = ExitPolicy((0.9, -INF), temperatures=(0.5, 1.0))
    assert policy.exits(logits).tolist() == policy.exits(logits.astype(float)).tolist() == [0, 1]


def test_no_inputs_give_no_exits():
    assert ExitPolicy((0.5, -INF)).predict(np.empty((0, 2, 3))).tolist() == []


@pytest.mark.parametrize(
    "policy",
    [
        ExitPolicy((-INF,)),
        ExitPolicy((0.25, INF, -INF), "margin"),
        ExitPolicy((0.1 + 0.2, -INF), "energy", (0.5, 2.0)),
        ExitPolicy(
            (1 / 3, INF, -INF), "learned", None, (LearnedConfidence(0.1, (1 / 3, 2.0), (0.5, -1.0)), None, None)
        ),
    ],
)
def test_a_policy_survives_json(policy):
    text = json.dumps(policy.to_dict(), allow_nan=False)
    assert ExitPolicy.from_dict(json.loads(text)) == policy


def test_dropped_exits_cost_nothing_and_are_gone_in_the_pruned_policy():
    policy = ExitPolicy((0.5, INF, 0.7, -INF), temperatures=(1.0, 2.0, 3.0, 4.0))
    assert policy.kept == (0, 2, 3)
    assert policy.costs_without_dropped([10, 25, 40, 60], [2, 5, 3, 1]) == [10, 20, 35, 55]
    assert policy.pruned() == ExitPolicy((0.5, 0.7, -INF), temperatures=(1.0, 3.0, 4.0))
    logits = np.random.default_rng(0).normal(0, 2, (50, 4, 5))
    kept = np.array(policy.kept)
    assert policy.exits(logits).tolist() == kept[policy.pruned().exits(logits[:, kept])].tolist()


def test_the_cost_of_the_learned_measure_is_stated():
    model = LearnedConfidence(0.0, (1.0,) * 8)
    assert ExitPolicy((0.5, INF, 0.5, -INF), "learned", None, (model, None, model, None)).confidence_macs == 16
    assert ExitPolicy((0.5, -INF)).confidence_macs == 0


def test_a_policy_that_makes_later_exits_unreachable_is_refused():
    # in JSON it could not be told from inf
    with pytest.raises(ValueError, match="is -inf before the last exit"):
        ExitPolicy((-INF, -INF))


def test_an_infinite_cutoff_is_null_in_json():
    assert ExitPolicy((INF, 0.5, -INF)).to_dict()["cutoffs"] == [None, 0.5, None]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"cutoffs": ()}, "cutoffs: at least one exit"),
        ({"cutoffs": (0.5, 0.5)}, "cutoffs: the last exit takes every input, so it must be -inf, not 0.5"),
        ({"cutoffs": (math.nan, -INF)}, "cutoffs: .* holds NaN"),
        ({"cutoffs": (0.5, -INF), "temperatures": (1.0,)}, "temperatures: 1 given for 2 exits"),
        ({"cutoffs": (0.5, -INF), "temperatures": (0.0, 1.0)}, "temperatures: .* must all be positive and finite"),
        ({"cutoffs": (0.5, -INF), "temperatures": (1.0, INF)}, "temperatures: .* must all be positive and finite"),
        ({"cutoffs": (0.5, -INF), "confidence": "max"}, "confidence: 'max' is unknown"),
        ({"cutoffs": (0.5, -INF), "confidence": "learned"}, "models: they belong to confidence 'learned', here it is"),
        (
            {"cutoffs": (0.5, -INF), "models": (None, None)},
            "models: they belong to confidence 'learned', here it is 'max_",
        ),
        ({"cutoffs": (0.5, -INF), "confidence": "learned", "models": (None,)}, "models: 1 given for 2 exits"),
        (
            {"cutoffs": (0.5, -INF), "confidence": "learned", "models": (None, None)},
            "models: exit 0 has a cutoff and no",
        ),
    ],
)
def test_a_policy_that_cannot_work_is_refused_with_the_field(arguments, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        ExitPolicy(**arguments)


@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 5), (4, 3, 5, 1)])
def test_logits_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="logits: shape .* does not fit"):
        ExitPolicy((0.5, 0.5, -INF)).exits(np.zeros(shape))


def test_exits_in_use_are_those_that_are_not_dropped_up_to_the_last_at_which_an_input_leaves():
    logits = np.zeros((4, 4, 2))
    logits[:, :, 0] = np.array([[5, 5, 5, 5], [0, 0, 5, 5], [0, 0, 5, 5], [0, 0, 5, 5]])
    assert ExitPolicy((0.9, np.inf, 0.9, -np.inf)).in_use(logits) == (0, 2)
    assert ExitPolicy((0.9, 0.9, np.inf, -np.inf)).in_use(logits) == (0, 1, 3)
    assert ExitPolicy((0.9, 0.9, 0.9, -np.inf)).in_use(logits[:1]) == (0,)


def test_a_policy_says_in_words_where_inputs_leave():
    policy = ExitPolicy((0.8437, math.inf, -math.inf), temperatures=(1.5, 1.0, 1.0))
    assert repr(policy) == (
        "ExitPolicy by max_prob, with temperatures: exit 0 from 0.8437, exit 1 dropped, exit 2 takes the rest"
    )
    html = policy._repr_html_()
    for cell in ("from 0.8437", "dropped", "takes the rest", "1.5", "leave by max_prob"):
        assert f">{cell}<" in html
    assert html.count("<tr>") == 4
