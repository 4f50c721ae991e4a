from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit.search.archive import Archive
from nni_earlyexit.search.hypervolume import Improvement
from nni_earlyexit.search.surrogate.pool import Pool

NAMES = [f"network {i}" for i in range(50)]


def front(points):
    archive = Archive(2)
    archive.add("", points)
    return archive.points


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def possible(rng):
    """Losses of four draws of 50 candidates, three points of each."""
    return rng.uniform(size=(4, len(NAMES), 3, 2))


@pytest.fixture
def known(rng):
    return front(rng.uniform(0.3, 1, size=(20, 2)))


def test_the_best_is_that_of_judging_all_while_the_front_grows(rng, possible, known):
    pool = Pool({name: {"name": name} for name in NAMES}, possible, known)
    taken = set()
    more = known
    for _ in range(12):
        improvement = Improvement(known)
        improvement.add(more)
        gains = np.mean([improvement.gains(points) for points in possible], axis=0)
        gains[[name in taken for name in NAMES]] = -1
        sample, gain = pool.best(more, lambda name: name not in taken)
        assert sample == {"name": NAMES[int(np.argmax(gains))]}
        assert gain == pytest.approx(gains.max(), rel=1e-12)
        taken.add(sample["name"])
        more = front(np.vstack([more, rng.uniform(0.2, 1, size=(3, 2))]))


def test_few_are_judged_again(possible, known, monkeypatch):
    pool = Pool({name: {} for name in NAMES}, possible, known)
    judged = []
    gains = Improvement.gains
    monkeypatch.setattr(Improvement, "gains", lambda own, sets: judged.append(len(sets)) or gains(own, sets))
    pool.best(known, lambda name: True)
    assert sum(judged) <= 16 * len(possible)


def test_where_all_are_known_there_is_no_best(possible, known):
    assert Pool({name: {} for name in NAMES}, possible, known).best(known, lambda name: False) is None
