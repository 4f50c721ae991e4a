from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from nni_earlyexit import Guarantee, ThresholdOptimizer


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    skill = np.array([0.5, 1.0, 2.0])[:, None]
    return rng.normal(size=(400, 3, 3)) + skill * np.eye(3)[y][:, None], y, [1e6, 2.5e6, 4e6]


def test_it_shows_the_front_the_single_exits_and_the_chosen_point(data):
    opt = ThresholdOptimizer(max_cost=2e6).fit(*data, branch_costs=[1e5, 2e5, 1e3])
    axes = opt.plot()
    front, *_ = axes.lines
    np.testing.assert_allclose(front.get_xdata(), opt.front_.avg_cost)
    exits, chosen = axes.collections
    accuracies = (data[0].argmax(axis=-1) == data[1][:, None]).mean(axis=0)
    np.testing.assert_allclose(exits.get_offsets(), np.stack([[1e6, 2.4e6, 3.7e6], accuracies], axis=1))
    assert chosen.get_offsets().tolist() == [[opt.chosen_.avg_cost, opt.chosen_.accuracy]]
    assert [text.get_text() for text in axes.texts] == ["exit 0", "exit 1", "exit 2"]
    assert f"chosen: {opt.chosen_.accuracy:.2%} at" in axes.get_legend_handles_labels()[1][-1]


def test_it_draws_on_given_axes_and_becomes_a_picture(data, tmp_path):
    axes = Figure().subplots()
    opt = ThresholdOptimizer(guarantee=Guarantee(0.2)).fit(*data)
    assert opt.plot(ax=axes) is axes
    axes.figure.savefig(tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 5000


def test_scores_that_are_no_shares_are_not_shown_as_percent(data):
    logits, y, costs = data
    opt = ThresholdOptimizer(scoring=-7 * (1 - np.eye(3))).fit(logits, y, costs)
    assert "%" not in opt.plot().yaxis.get_major_formatter().format_ticks([-1.0])[0]
