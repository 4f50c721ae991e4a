from __future__ import annotations

import pytest
import torch
from nni_earlyexit.nn.cutting import cut
from torch import nn

SHAPE = (3, 8, 8)


def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(80, 7)]
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize(("modules", "headless", "stages"), [(["0", "1", "2"], False, 2), (["", "1"], True, 2)])
def test_the_pieces_one_after_another_are_the_model(modules, headless, stages):
    whole = model()
    taken = cut(whole, modules, SHAPE, "it", headless=headless)
    assert (len(taken.stages), taken.num_classes, taken.input_shape) == (stages, 7, SHAPE)
    x = torch.randn(2, *SHAPE)
    y = taken.stem(x)
    for stage in taken.stages:
        y = stage(y)
    assert torch.equal(taken.head(y), whole(x))


def test_a_copy_has_weights_of_its_own():
    taken = cut(model(), ["0", "1"], SHAPE, "it")
    copied = taken.copy()
    copied.freeze()
    with torch.no_grad():
        next(copied.stem.parameters()).zero_()
    assert next(taken.stem.parameters()).abs().sum() > 0
    assert all(parameter.requires_grad for parameter in taken.stem.parameters())


def test_freezing_spares_the_modules_that_are_named():
    taken = cut(model(), ["0", "1"], SHAPE, "it")
    taken.freeze(but=["4"])
    pieces = nn.ModuleList([taken.stem, *taken.stages, taken.head]).train()
    assert {name for name, p in pieces.named_parameters() if p.requires_grad} == {"2.body.4.weight", "2.body.4.bias"}
    assert not any(module.training for piece in pieces for module in piece.modules())


def test_what_gives_no_logits_is_refused():
    with pytest.raises(ValueError, match=r"model: it gives a tensor of shape \(1, 4, 6, 6\); a classifier"):
        cut(model()[:2], ["0"], SHAPE, "it")
