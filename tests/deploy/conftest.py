from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit.deploy import EarlyExitPredictor, Wish, export
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.runtime import Bundle
from nni_earlyexit.thresholds import confidence
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.training.settings import Settings
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def three_exits(digits_space):
    """A small sample of the digits space with three exits, one of which has a layer."""
    sample, _ = digits_space.cheapest(exit=-1)
    present = {"exit0_present": "yes", "exit0_depth": 1, "exit1_present": "yes"}
    return digits_space.canonical({**sample, **present})


@pytest.fixture(scope="session")
def trial(tmp_path_factory, digits_space, three_exits):
    """A network with three exits that has learned a little."""
    folder = tmp_path_factory.mktemp("trial") / "net"
    settings = Settings.from_options(epochs=3, threads=1, tensorboard=False)
    train_one(digits_space, three_exits, settings, folder, lambda line: None)
    return record.load(folder)


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory, trial):
    """A bundle with everything."""
    folder = tmp_path_factory.mktemp("bundles") / "digits"
    wish = Wish.parse("max accuracy")
    export(trial, folder, wish.settings(trial.settings), keep_exits=True, int8=True)
    return folder


@pytest.fixture(scope="session")
def bundle(bundle_folder):
    return Bundle.load(bundle_folder)


@pytest.fixture(scope="session")
def images():
    """All 1,797 images, as the network takes them."""
    return load_digits().images.astype(np.float32)[:, None] / 16


@pytest.fixture(scope="session")
def logits(bundle, images):
    """What every exit says to every image."""
    predictor = EarlyExitPredictor(bundle, device="cpu")
    from nni_earlyexit.runtime.routing import every_logits

    return every_logits(predictor._router.segments, images)


def between(scores, share):
    """A number that about this share of ``scores`` is below, and none is near."""
    values = np.unique(scores)
    if len(values) < 50:
        return float(values[-1] - 0.5)
    first = int(np.clip(share * len(values), 0, len(values) - 40))
    gaps = np.diff(values[first : first + 40])
    widest = first + int(gaps.argmax())
    return float(values[widest : widest + 2].mean())


@pytest.fixture(scope="session")
def mixed(logits):
    """Makes a policy by whose measure inputs leave at every exit."""

    def make(measure="max_prob", shares=(0.4, 0.4), **more):
        scores = confidence.of_kept_exits(measure, logits)
        cutoffs = [between(scores[:, exit], 1 - share) for exit, share in enumerate(shares)]
        return ExitPolicy((*cutoffs, -np.inf), measure, **more)

    return make
