"""The fingerprint of a task."""

from __future__ import annotations

import numpy as np
from nni_earlyexit import data
from nni_earlyexit.data.fingerprint import fingerprint


def test_it_is_that_of_the_data_and_their_splits(tmp_path):
    own = fingerprint(data.load("digits"))
    assert fingerprint(data.load("digits")) == own
    others = [
        data.load("digits", seed=1),
        data.load("digits", validation_share=0.2),
        data.load("digits", input_shape=(1, 16, 16)),
    ]
    assert len({own, *map(fingerprint, others)}) == 4


def test_it_does_not_depend_on_where_the_data_lie(tmp_path):
    x, y = np.random.default_rng(0).integers(0, 256, (60, 3, 8, 8), dtype=np.uint8), np.arange(60) % 3
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
    first, second = (fingerprint(data.load(f"npz:{tmp_path / name}.npz")) for name in ("a", "b"))
    assert first == second
