from __future__ import annotations

import math

import numpy as np
import pytest
from nni_earlyexit import ExitPolicy
from nni_earlyexit.thresholds import confidence

of_one_exit = confidence.MEASURES.__getitem__
measures = pytest.mark.parametrize("name", sorted(confidence.MEASURES))


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 3, (50, 4, 10)).astype(np.float32)


@measures
def test_a_measure_takes_logits_of_any_leading_shape_and_drops_the_classes(name, logits):
    all_at_once = of_one_exit(name)(logits)
    assert all_at_once.shape == (50, 4)
    np.testing.assert_array_equal(all_at_once[:, 2], of_one_exit(name)(logits[:, 2]))


@measures
def test_confidence_of_an_input_does_not_depend_on_the_others(name, logits):
    alone = [of_one_exit(name)(one[None])[0] for one in logits[:, 0]]
    np.testing.assert_array_equal(alone, of_one_exit(name)(logits[:, 0]))


@measures
def test_an_exit_that_stands_out_more_is_surer(name):
    sure, unsure = np.eye(5)[0] * 8, np.eye(5)[0] * 2
    assert of_one_exit(name)(sure) > of_one_exit(name)(unsure)


@measures
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_huge_logits_give_finite_confidences(name, scale):
    logits = scale * np.array([[0.0, 1.0, 2.0]], dtype=np.float32)
    assert np.isfinite(of_one_exit(name)(logits)).all()


@pytest.mark.parametrize("name", ["max_prob", "entropy", "margin"])
def test_probability_measures_lie_between_0_and_1(name, logits):
    values = of_one_exit(name)(logits)
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

    confidence.check("first_logit")
    assert ExitPolicy((0.5, -math.inf), "first_logit").exits([[[0.7, 0], [0, 0]], [[0.2, 0], [0, 0]]]).tolist() == [
        0,
        1,
    ]


def test_a_registered_function_of_the_exits_so_far_becomes_a_measure(monkeypatch):
    monkeypatch.setattr(confidence, "SEQUENTIAL", dict(confidence.SEQUENTIAL))

    @confidence.register_sequential
    def growth(logits):
        most = logits.max(axis=-1)
        return np.diff(most, prepend=most[:, :1], axis=1)

    logits = np.array([[[1.0, 0], [3, 0], [0, 0]], [[1, 0], [1, 0], [0, 0]]])
    assert ExitPolicy((5.0, 1.0, -math.inf), "growth").exits(logits).tolist() == [1, 2]
    # of the kept exits only
    assert ExitPolicy((math.inf, 1.0, -math.inf), "growth").exits(logits).tolist() == [2, 2]


@pytest.mark.parametrize("name", sorted(confidence.SEQUENTIAL))
def test_a_sequential_measure_looks_at_no_later_exit(name, logits):
    every = confidence.SEQUENTIAL[name](logits)
    assert every.shape == logits.shape[:2]
    for exits in range(1, logits.shape[1]):
        np.testing.assert_array_equal(confidence.SEQUENTIAL[name](logits[:, :exits]), every[:, :exits])


def test_patience_counts_the_exits_in_a_row_that_agree():
    classes = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [2, 2, 0, 0]])
    assert confidence.patience(np.eye(3)[classes]).tolist() == [[0, 1, 2, 3], [0, 0, 1, 0], [0, 1, 0, 1]]


def test_an_unknown_measure_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="confidence: 'max_probs' is unknown; did you mean 'max_prob'"):
        confidence.check("max_probs")
    with pytest.raises(ValueError, match="confidence: 'learned' is fitted to data"):
        confidence.of_kept_exits("learned", np.zeros((1, 2, 3)))


def test_the_error_for_an_unknown_measure_has_its_name():
    with pytest.raises(confidence.UnknownMeasure) as error:
        ExitPolicy((0.5, -math.inf), "my_measure")
    assert error.value.name == "my_measure"


def test_what_takes_the_name_of_a_measure_of_the_package_is_no_longer_that_one(monkeypatch):
    monkeypatch.setattr(confidence, "MEASURES", dict(confidence.MEASURES))
    monkeypatch.setattr(confidence, "SEQUENTIAL", dict(confidence.SEQUENTIAL))
    names = [*confidence.MEASURES, *confidence.SEQUENTIAL, confidence.LEARNED]
    assert all(map(confidence.is_built_in, names))
    own = {name: (lambda logits: logits[..., 0]) for name in ("margin", "patience", "first_logit")}
    for name, measure in own.items():
        measure.__name__ = name
    with pytest.warns(UserWarning, match="is replaced"):
        confidence.register(own["margin"])
    with pytest.warns(UserWarning, match="is replaced"):
        confidence.register_sequential(own["patience"])
    confidence.register(own["first_logit"])
    assert {name for name in [*names, "first_logit"] if not confidence.is_built_in(name)} == set(own)


def test_a_measure_that_takes_a_name_replaces_the_other_one_and_says_so(monkeypatch):
    monkeypatch.setattr(confidence, "MEASURES", dict(confidence.MEASURES))
    monkeypatch.setattr(confidence, "SEQUENTIAL", dict(confidence.SEQUENTIAL))

    def margin(logits):
        return logits[..., 0]

    with pytest.warns(UserWarning, match="'margin' is replaced"):
        confidence.register_sequential(margin)
    assert "margin" not in confidence.MEASURES
    assert confidence.SEQUENTIAL["margin"] is margin


def test_the_name_of_the_fitted_measure_cannot_be_taken():
    def learned(logits):
        return logits[..., 0]

    with pytest.raises(ValueError, match="'learned' is the measure that is fitted to data"):
        confidence.register(learned)
