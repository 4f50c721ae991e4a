from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from nni_earlyexit.search.archive import Archive

POINT = st.tuples(*[st.integers(0, 4)] * 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(POINT, max_size=4), max_size=8))
def test_it_holds_what_no_other_point_beats_whatever_the_order(sets):
    archive = Archive(3)
    for owner, points in enumerate(sets):
        archive.add(str(owner), points)
    at_once = Archive(3)
    at_once.add_all((str(owner), points) for owner, points in enumerate(sets))
    assert (at_once.points.tolist(), at_once.owners) == (archive.points.tolist(), archive.owners)
    every = {tuple(map(float, point)) for points in sets for point in points}
    best = {a for a in every if not any(b != a and all(x <= y for x, y in zip(b, a, strict=True)) for b in every)}
    assert {tuple(point) for point in archive.points.tolist()} == best
    assert len(archive.points) == len(archive.owners) == len(best)
    for point, owner in zip(archive.points.tolist(), archive.owners, strict=True):
        first = next(i for i, points in enumerate(sets) if tuple(map(int, point)) in points)
        assert owner == str(first)


def test_nothing_is_added_by_no_points():
    archive = Archive(2)
    archive.add("a", [])
    assert archive.points.shape == (0, 2)
    assert np.array(archive.owners).size == 0
