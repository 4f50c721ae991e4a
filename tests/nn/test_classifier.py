from __future__ import annotations

import pytest
import torch
from nni_earlyexit.nn.classifier import classifier_name, fill_but_classifier
from torch import nn


def model(classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, classes))


def test_the_classifier_is_the_last_layer_that_runs():
    assert classifier_name(model(), torch.zeros(1, 4)) == "2"
    assert classifier_name(nn.Sequential(nn.ReLU()), torch.zeros(1, 4)) is None


def test_weights_for_another_number_of_classes_leave_the_classifier_as_it_is():
    mine, other, same = model(), model(5), model()
    last = mine[2].weight.clone()
    assert not fill_but_classifier(mine, other.state_dict(), "2", "w")
    assert torch.equal(mine[0].weight, other[0].weight)
    assert torch.equal(mine[2].weight, last)
    assert fill_but_classifier(mine, same.state_dict(), "2", "w")
    assert torch.equal(mine[2].weight, same[2].weight)


def test_all_else_must_fit():
    state = {**model().state_dict(), "0.weight": torch.zeros(2, 4)}
    with pytest.raises(ValueError, match=r"weights: '0.weight' has shape \(2, 4\) in 'w', \(4, 4\) in the model"):
        fill_but_classifier(model(), state, "2", "w")
