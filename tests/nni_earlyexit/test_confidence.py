from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit import confidence

measures = pytest.mark.parametrize("name", sorted(confidence.MEASURES))


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 3, (50, 4, 10)).astype(np.float32)


@measures
def test_a_measure_takes_logits_of_any_leading_shape_and_drops_the_classes(name, logits):
    all_at_once = confidence.get(name)(logits)
    assert all_at_once.shape == (50, 4)
    np.testing.assert_array_equal(all_at_once[:, 2], confidence.get(name)(logits[:, 2]))


@measures
def test_confidence_of_an_input_does_not_depend_on_the_others(name, logits):
    alone = [confidence.get(name)(one[None])[0] for one in logits[:, 0]]
    np.testing.assert_array_equal(alone, confidence.get(name)(logits[:, 0]))


@measures
def test_an_exit_that_stands_out_more_is_surer(name):
    sure, unsure = np.eye(5)[0] * 8, np.eye(5)[0] * 2
    assert confidence.get(name)(sure) > confidence.get(name)(unsure)


@measures
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_huge_logits_give_finite_confidences(name, scale):
    logits = scale * np.array([[0.0, 1.0, 2.0]], dtype=np.float32)
    assert np.isfinite(confidence.get(name)(logits)).all()


@pytest.mark.parametrize("name", ["max_prob", "entropy", "margin"])
def test_probability_measures_lie_between_0_and_1(name, logits):
    values = confidence.get(name)(logits)
    assert values.min() >= 0
    assert values.max() <= 1


def test_max_prob_is_the_largest_softmax_probability(logits):
    np.testing.assert_allclose(confidence.max_prob(logits), confidence.softmax(logits).max(axis=-1), rtol=1e-6)


def test_entropy_is_0_for_equal_logits_and_1_for_a_certain_answer():
    assert confidence.entropy(np.zeros(10)) == pytest.approx(0, abs=1e-12)
    assert confidence.entropy(np.eye(10)[3] * 1e3) == pytest.approx(1)


def test_margin_is_largest_minus_second_largest_probability():
    assert confidence.margin(np.log([0.2, 0.7, 0.1])) == pytest.approx(0.5)


def test_energy_is_the_log_sum_exp_of_the_logits():
    assert confidence.energy(np.log([1.0, 2.0, 3.0])) == pytest.approx(np.log(6))


def test_a_registered_function_becomes_a_measure_under_its_name(monkeypatch):
    monkeypatch.setattr(confidence, "MEASURES", dict(confidence.MEASURES))

    @confidence.register
    def first_logit(logits):
        return logits[..., 0]

    assert confidence.get("first_logit") is first_logit


def test_an_unknown_measure_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="confidence: 'max_probs' is unknown; did you mean 'max_prob'"):
        confidence.get("max_probs")
