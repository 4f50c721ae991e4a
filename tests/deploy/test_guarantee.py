from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from nni_earlyexit.deploy import Wish, export
from nni_earlyexit.runtime import Bundle
from nni_earlyexit.thresholds.guarantee import Guarantee

CHEAP = "min avg_macs, accuracy >= 10%"


@pytest.fixture(scope="module")
def certified(tmp_path_factory, trial):
    """A bundle with a promise that half of the calibration split can prove."""
    said = []
    folder = tmp_path_factory.mktemp("certified") / "bundle"
    settings = Wish.parse(CHEAP).settings(trial.settings)
    bundle = export(trial, folder, settings, guarantee=Guarantee(0.2, 0.8), say=said.append)
    return bundle, said


def test_every_policy_of_the_bundle_was_certified(certified, trial):
    bundle, said = certified
    fitted = bundle.fit()
    assert not [line for line in said if "concern" in line]
    assert len(bundle.architecture.kept) == 3  # the last exit is what policies are compared with
    assert fitted.guarantee["max_drop"] == 0.2
    assert fitted.guarantee["inputs"] == round(fitted.fitted_to["inputs"] / 2)
    assert fitted.guarantee["certified"] > 0
    assert len(fitted.family.front) <= fitted.guarantee["certified"] + 1
    assert fitted.policy.cutoffs in {tuple(point.cutoffs) for point in fitted.family.front}
    assert (fitted.family.front.accuracy >= fitted.family.last_accuracy - 0.2).all()
    assert fitted.policy.cutoffs == fitted.family.policy_of(fitted.family.front[0]).cutoffs
    assert (
        "- guarantee, with probability 0.8 over calibration data: leaving early costs at most 20.00%"
        in (bundle.folder / "README.md").read_text()
    )
    assert Bundle.load(bundle.folder).fit().guarantee == fitted.guarantee


def test_a_guarantee_is_of_tuned_cutoffs_whatever_those_of_the_trial_are(tmp_path, trial):
    shared = replace(trial.settings, goal=replace(trial.settings.goal, cutoffs="shared", drop_exits=False))
    settings = Wish.parse(CHEAP).settings(shared)
    assert settings.goal.cutoffs == "shared"
    bundle = export(trial, tmp_path / "b", settings, guarantee=Guarantee(0.2, 0.8), say=lambda line: None)
    assert bundle.fit().guarantee["certified"] > 0


def test_what_cannot_be_proven_sends_everything_to_the_last_exit_and_says_so(tmp_path, trial):
    said = []
    settings = Wish.parse(CHEAP).settings(trial.settings)
    bundle = export(
        trial, tmp_path / "b", settings, guarantee=Guarantee(1e-6, among="early"), int8=True, say=said.append
    )
    concerns = [line for line in said if line.startswith("concern: guarantee: ")]
    assert len(concerns) == 2  # of the network, and of the quantised one
    for fitted in bundle.fits.values():
        assert fitted.policy.kept == (2,)
        assert fitted.guarantee["certified"] == 0


def test_without_one_nothing_is_promised(bundle):
    assert bundle.fit().guarantee is None
    assert "guarantee" not in (bundle.folder / "README.md").read_text()


def test_a_changed_number_of_shares_is_damage(bundle):
    from nni_earlyexit.runtime.bundle import _check_fits

    family = bundle.fit().family
    short = replace(bundle.fit(), family=replace(family, test_shares=np.zeros((1, 3))))
    with pytest.raises(ValueError, match="test_shares of float32: they do not fit the front"):
        _check_fits(replace(bundle, fits={"float32": short}))
