from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit.search.surrogate.models import FAMILIES, SETTINGS_FROM, Models, rank_correlation


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def data(rng, inputs, noise=0.0):
    """Two targets of three features; every third input lacks the second one."""
    x = rng.random((2, inputs, 3))
    y = np.stack([x[0] @ [1, 2, 0], np.sin(3 * x[1, :, 0])]) + noise * rng.normal(size=(2, inputs))
    y[1, ::3] = np.nan
    x[1, ::3, 2] = np.nan
    return x, y


def test_it_learns_and_what_does_not_exist_stays_nan(family, rng):
    models = Models(family, *data(rng, 90))
    x, y = data(rng, 60)
    mean, deviation = models.predict(x)
    np.testing.assert_array_equal(np.isnan(mean), np.isnan(y))
    np.testing.assert_array_equal(np.isnan(deviation), np.isnan(y))
    assert np.nanmean((mean - y) ** 2) < 0.1 * np.nanvar(y)


def test_it_knows_the_noise_of_results_to_come(family, rng):
    models = Models(family, *data(rng, 120, noise=0.3))
    x, y = data(rng, 120, noise=0.3)
    mean, deviation = models.predict(x)
    errors = (y - mean) / deviation
    assert 0.7 < np.sqrt(np.nanmean(errors**2)) < 1.3


def test_a_target_with_too_few_results_is_taken_for_the_mean_of_all(family, rng):
    x, y = data(rng, 30)
    y[1, 2:] = np.nan
    mean, deviation = Models(family, x, y).predict(x)
    assert np.isfinite(mean[0]).all()
    there = np.isfinite(mean[1])
    np.testing.assert_allclose(mean[1, there], np.nanmean(y))
    np.testing.assert_allclose(deviation[1, there], np.nanstd(y))


def test_a_feature_that_was_always_the_same_does_no_harm(family, rng):
    x, y = data(rng, 60)
    x[0, :, 2] = 0.5
    models = Models(family, x, y)
    x[0, :, 2] = 0.500001
    mean, _ = models.predict(x)
    assert np.mean((mean[0] - y[0]) ** 2) < 0.1 * np.var(y[0])


def test_settings_that_are_known_fit_the_same_model_at_once(family, rng):
    x, y = data(rng, 60)
    first = Models(family, x, y)
    again = Models(family, x, y, first.settings)
    np.testing.assert_allclose(first.predict(x), again.predict(x))


def test_settings_are_found_from_the_latest_results(rng):
    x, y = data(rng, SETTINGS_FROM + 40)
    y[1] = y[0]
    x[1] = x[0]
    other = y.copy()
    other[:, :40] = rng.random(40)
    np.testing.assert_allclose(
        Models("gaussian_process", x, y).settings[0], Models("gaussian_process", x, other).settings[0]
    )


def test_rank_correlation_tells_what_can_be_predicted(family, rng):
    x, y = data(rng, 60)
    assert rank_correlation(family, x, y, seed=0) > 0.8
    assert abs(rank_correlation(family, x, np.where(np.isnan(y), y, rng.random(y.shape)), seed=0)) < 0.5
    assert rank_correlation(family, x, np.where(np.isnan(y), y, 1.0), seed=0) == 0
