from __future__ import annotations

import re
import threading
import warnings

import numpy as np
import pytest
from nni_earlyexit.deploy import EarlyExitPredictor
from nni_earlyexit.runtime import OnnxPredictor, ShiftWarning, Watch
from nni_earlyexit.thresholds.policy import ExitPolicy


def varied(bundle):
    """A point of the trade-off under which inputs leave at more than one exit."""
    family = bundle.fit().family
    place = int(np.argmin(np.abs(family.test_shares[:, 0] - 0.5)))
    assert 0.1 < family.test_shares[place, 0] < 0.9
    return family.policy_of(family.front[place])


@pytest.fixture(params=[EarlyExitPredictor, OnnxPredictor])
def predictor(request, bundle):
    own = request.param(bundle)
    own.policy = varied(bundle)
    return own


def test_inputs_like_those_of_the_test_raise_no_alarm(predictor, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShiftWarning)
        for start in range(0, len(images), 64):
            predictor(images[start : start + 64])
    shift = predictor.watch.shift(predictor.policy)
    assert shift.inputs == len(images)
    assert sum(shift.seen) == pytest.approx(1)
    assert not shift.alarm
    assert not predictor.watch.alarm


def test_other_inputs_raise_it_once(predictor):
    noise = np.random.default_rng(0).random((500, 1, 8, 8), dtype=np.float32)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for start in range(0, len(noise), 50):
            predictor(noise[start : start + 50])
    (shift,) = [warning for warning in warned if warning.category is ShiftWarning]
    assert re.match(r"shift: inputs leave at other exits \(.*\) than when the bundle was judged", str(shift.message))
    assert predictor.watch.alarm
    assert predictor.watch.shift(predictor.policy).alarm


def test_policies_are_watched_apart_and_those_that_are_not_the_bundles_are_not(bundle, images):
    predictor = OnnxPredictor(bundle)
    chosen, other = bundle.policy, varied(bundle)
    predictor(images[:40])
    predictor.policy = other
    predictor(images[:30])
    assert [predictor.watch.shift(policy).inputs for policy in (chosen, other)] == [40, 30]
    predictor.policy = strange = ExitPolicy((0.123456, 0.2, -np.inf))
    predictor(images[:20])
    with pytest.raises(ValueError, match="is none of the bundle's"):
        predictor.watch.shift(strange)
    predictor.watch = None
    assert len(predictor(images[:20]).exits) == 20


def test_promised_shares_are_those_of_the_test_inputs(bundle):
    fitted = bundle.fit()
    shift = Watch(fitted).shift(fitted.policy)
    np.testing.assert_allclose(shift.promised, fitted.test["shares"])
    assert shift.inputs == 0


def test_threads_share_one(bundle):
    watch, policy = Watch(bundle.fit()), bundle.policy
    last = len(policy.cutoffs) - 1
    exits = np.array([last, last, last])

    def add():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(200):
                watch.add(policy, exits)

    workers = [threading.Thread(target=add) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert watch.shift(policy).inputs == 8 * 200 * 3
