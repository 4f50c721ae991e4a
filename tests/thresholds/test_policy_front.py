from __future__ import annotations

import sys

import numpy as np
import pytest
from nni_earlyexit.thresholds.policy_front import Front


def front(points):
    accuracy = 1 - 0.5 ** np.linspace(1, 9, points)
    cost = np.linspace(1, 2, points)
    return Front(accuracy, cost, np.zeros((points, 2)), np.zeros((points, 2)))


def area(part):
    return float(part.accuracy[:-1] @ np.diff(part.avg_cost))


def test_a_front_that_is_thinned_out_keeps_its_ends_and_nearly_all_of_its_area():
    whole = front(500)
    part = whole.thinned(32)
    assert len(part) == 32
    assert (part[0], part[31]) == (whole[0], whole[499])
    assert area(part) > 0.985 * area(whole)
    evenly = whole[np.linspace(0, 499, 32).astype(int)]
    assert area(part) > area(evenly)


def test_a_short_front_is_left_alone():
    assert front(5).thinned(32).accuracy.tolist() == front(5).accuracy.tolist()
    assert len(front(0).thinned(32)) == 0


def test_a_front_is_a_table_of_a_few_policies_in_a_notebook():
    assert repr(front(3)) == "Front of 3 policies: accuracy 0.5000 at 1 to 0.9980 at 2"
    html = front(40)._repr_html_()
    assert html.count("<tr>") == 1 + 12
    assert "12 of them" in html
    assert "0.9980" in html
    assert front(0)._repr_html_().count("<tr>") == 1


def test_a_front_is_a_data_frame():
    whole = front(5)
    frame = whole.to_pandas()
    assert list(frame) == ["accuracy", "avg_cost", "cutoff0", "cutoff1", "share0", "share1"]
    assert frame["accuracy"].tolist() == whole.accuracy.tolist()
    assert len(front(0).to_pandas()) == 0


def test_without_pandas_the_command_that_helps_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        ModuleNotFoundError, match="^pandas: it is not installed; pip install 'nni-earlyexit\\[pandas\\]' does that$"
    ):
        front(5).to_pandas()
