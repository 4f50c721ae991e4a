"""An evaluation and its network as they show themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from nni_earlyexit.evaluation.evaluation import Evaluation, Outputs
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.thresholds.policy import ExitPolicy


@pytest.fixture
def evaluation(network):
    """Of four inputs, the first exit is sure of two, and right about one of those; the last is right about all."""
    logits = np.zeros((4, 2, 10), dtype=np.float32)
    logits[:2, 0, 3] = 9
    logits[:, 1, 5] = 9
    labels = np.array([3, 5, 5, 5])
    policy = ExitPolicy((0.75, -math.inf))
    metrics = {"accuracy": 0.5, "avg_macs": 1_500_000.0, "epochs": 7}
    costs = ExitCosts([1_000_000, 2_000_000])
    return Evaluation(network, costs, metrics, None, policy, Outputs(logits, labels), Outputs(logits, labels))


def test_an_evaluation_says_what_it_measured(evaluation):
    assert repr(evaluation) == (
        "Evaluation on validation data: accuracy 0.5000 at 1.5M average MACs, 75% of those of the last exit, after 7 epochs"
    )
    html = evaluation._repr_html_()
    assert "<td>0</td><td>0</td><td>1M</td><td>25.00%</td><td>50.0%</td><td>0.75</td>" in html
    assert "<td>1</td><td>3</td><td>2M</td><td>75.00%</td><td>50.0%</td><td></td>" in html
    untrained = Evaluation(evaluation.network, evaluation.costs, {}, None)
    assert "misses a limit and was not trained" in repr(untrained)
    assert "2M" in untrained._repr_html_()


def test_a_network_says_what_it_is_without_a_list_of_its_layers(network):
    said = repr(network)
    assert said.startswith("EarlyExitNetwork of digits/2: 1 x 8 x 8 to 10 classes, 4 stages, exits after 0, 3, ")
    assert "Conv2d" not in said
    assert "ExitPolicy" not in said
    network.policy = ExitPolicy((0.75, -math.inf))
    assert "exit 0 from 0.75, exit 1 takes the rest" in repr(network)
    html = network._repr_html_()
    assert html.count("<tr>") == 3
    assert all(f"<td>{cost}</td>" in html for cost in ("0", "3"))
    assert "MACs to leave" in html
