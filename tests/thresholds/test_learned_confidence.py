from __future__ import annotations

import json

import numpy as np
import pytest
from nni_earlyexit.thresholds import learned_confidence as learned


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 3, (600, 3, 4)).astype(np.float32)


def test_the_confidence_is_the_probability_that_going_on_gains_nothing():
    """Calibrated: among inputs of about the same confidence, that share gains nothing."""
    rng = np.random.default_rng(1)
    many = rng.normal(0, 2, (20_000, 1, 4))
    probability = np.exp(many[:, 0] - many[:, 0].max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    gain = (rng.random(20_000) > probability.max(axis=1)).astype(float)
    model = learned.fit(many[:10_000], gain[:10_000], np.ones(10_000))
    confidence, actual = model(many[10_000:]), 1 - gain[10_000:]
    for part in np.array_split(np.argsort(confidence), 10):
        assert confidence[part].mean() == pytest.approx(actual[part].mean(), abs=0.06)


def test_it_survives_json(logits):
    model = learned.fit(logits, np.random.default_rng(0).normal(size=600), np.ones(600))
    again = learned.LearnedConfidence.from_dict(json.loads(json.dumps(model.to_dict())))
    np.testing.assert_array_equal(again(logits), model(logits))
    assert model.macs == len(model.coefficients) == 10 + 4 + 2 * 3


@pytest.mark.parametrize(("inputs", "offsets"), [(199, 0), (200, 4)])
def test_classes_have_offsets_only_where_there_are_enough_inputs(logits, inputs, offsets):
    model = learned.fit(logits[:inputs], np.random.default_rng(0).normal(size=inputs), np.ones(inputs))
    assert len(model.offsets) == offsets


def test_offsets_are_those_of_the_predicted_class():
    logits = np.eye(2)[np.arange(200) % 2][:, None]  # two classes, equally sure
    gain = np.where(np.arange(200) % 2 == 0, 1.0, 0.0)
    confidence = learned.fit(logits, gain, np.ones(200))(logits)
    assert confidence[::2].max() < 0.1
    assert confidence[1::2].min() > 0.9


def test_a_weight_is_worth_as_many_equal_inputs(logits):
    rng = np.random.default_rng(0)
    gain, times = rng.random(600) * rng.integers(0, 2, 600), rng.integers(1, 4, 600)
    again = np.repeat(np.arange(600), times)
    weighted = learned.fit(logits, gain, times.astype(float))(logits)
    np.testing.assert_allclose(
        weighted, learned.fit(logits[again], gain[again], np.ones(len(again)))(logits), atol=1e-6
    )


@pytest.mark.parametrize("scale", [1e4, -1e4])
@pytest.mark.parametrize("classes", [2, 3])
def test_huge_logits_and_two_classes_give_finite_features(scale, classes):
    logits = scale * np.arange(2.0 * classes, dtype=np.float32).reshape(1, 2, classes)
    assert np.isfinite(learned.features(logits, True)).all()


def test_cross_fitting_judges_no_input_by_a_model_that_saw_it():
    """Gains that are noise: a model's own inputs would seem predictable."""
    rng = np.random.default_rng(0)
    logits, gain = rng.normal(size=(60, 3, 8)), rng.integers(0, 2, 60).astype(float)
    own = learned.fit(logits, gain, np.ones(60))(logits)
    crossed = learned.cross_fitted(logits, gain, np.ones(60), seed=0)
    assert np.corrcoef(own, gain)[0, 1] < -0.3
    assert np.corrcoef(crossed, gain)[0, 1] > -0.2


@pytest.mark.parametrize("gain", [0.0, 1.0])
def test_with_nothing_or_everything_to_gain_all_inputs_are_as_sure(logits, gain):
    assert set(learned.fit(logits, np.full(600, gain), np.ones(600))(logits)) == {0.5}


def test_a_larger_gain_counts_for_more():
    """The same inputs gain much or a little as often: the model is unsure where it is much."""
    logits = np.eye(3)[np.arange(600) % 2][:, None]
    gain = np.where(np.arange(600) % 4 < 2, np.where(np.arange(600) % 2, 5.0, 1.0), 0.0)
    confidence = learned.fit(logits, gain, np.ones(600))(logits)
    assert confidence[1::2].max() < 0.45
    assert confidence[::2].min() > 0.55


def test_one_input_cannot_be_cross_fitted_and_gets_no_confidence(logits):
    assert learned.cross_fitted(logits[:1], np.ones(1), np.ones(1), seed=0).tolist() == [0]
