"""Any network of the user's own as the backbone."""

from __future__ import annotations

import sys

import pytest
import torch
from backbones import all_exits, train_a_step
from nni_earlyexit import search_spaces
from safetensors.torch import save_file

CODE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10, in_chans=3):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 8, 3, padding=1)
        self.first = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.third = nn.Conv2d(16, 16, 3, stride=2, padding=1)
        self.last = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.second(self.first(self.stem(x)).relu())
        return self.last(self.third(x).mean((2, 3)))

class Branching(Net):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else super().forward(-x)

class Features(Net):
    def forward(self, x):
        return self.second(self.stem(x))

def build():
    return Net(5)

def word():
    return "no network"

number = 3
"""


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(search_spaces, "_allowed", set())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "nets.py").write_text(CODE)
    yield tmp_path
    for name in ("mine", "mine.nets"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("exits", [(), ("first",), ("first", "second")])
def test_the_last_exit_gives_the_logits_of_the_network_and_costs_are_exact(exits):
    text = "module:mine.nets.Net resolution=16 in_chans=1"
    space = search_spaces.create(text, **({"exits": exits} if exits else {}))
    assert search_spaces.create(space.identity()).identity() == space.identity()
    sample = all_exits(space)
    network = space.freeze(sample).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = sys.modules["mine.nets"].Net(in_chans=1).eval()
    x = torch.randn(4, 1, 16, 16)
    with torch.no_grad():
        logits, expected = network(x), model(x)
    assert len(logits) == (len(exits) + 1 if exits else 3)
    assert torch.allclose(logits[-1], expected, atol=1e-5, rtol=0)
    assert space.exit_costs(sample) == network.exit_costs
    assert network.space == space.identity()


def test_frozen_weights_stay_but_those_of_a_new_classifier(mine):
    text = "module:mine.nets.Net resolution=16 frozen=true exits=first"
    model = search_spaces.create(text) and sys.modules["mine.nets"].Net(8)
    save_file(model.state_dict(), mine / "w.safetensors")
    for classes, changed in ((8, set()), (4, {"last.weight", "last.bias"})):
        space = search_spaces.create(
            text, num_classes=classes, weights=str(mine / "w.safetensors"), mean=0.5, std=(0.2, 0.3, 0.4)
        )
        assert (space.mean, space.std) == ((0.5, 0.5, 0.5), (0.2, 0.3, 0.4))
        network = train_a_step(space, classes=4)
        kept = {name.partition("body.")[2]: v for name, v in network.state_dict().items() if "body." in name}
        assert {name for name, v in model.state_dict().items() if not torch.equal(kept[name], v)} == changed


def test_the_networks_own_classifier_stays_where_the_function_takes_no_number_of_classes():
    space = search_spaces.create("module:mine.nets.build resolution=16 num_classes=5 frozen=true")
    assert not any(p.requires_grad for p in space.freeze(all_exits(space)).exits["2"].parameters())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("module", "space module: model is missing"),
        ("module:build", "model: 'build' is not possible; a function in a Python module, such as my.package.name, is"),
        ("module:mine.none.build", "model: 'mine.none' cannot be imported: .*; is its folder on PYTHONPATH"),
        ("module:mine.nets.other", "model: the module 'mine.nets' has no 'other'"),
        ("module:mine.nets.number", "model: 'mine.nets.number' is int, not a function"),
        ("module:mine.nets.word", "model: mine.nets.word gives str; a torch.nn.Module is wanted"),
        ("module:mine.nets.Features", "model: mine.nets.Features gives a tensor of shape .*; a classifier"),
        (
            "module:mine.nets.Branching exits=first",
            "mine.nets.Branching cannot be cut into stages: torch.fx does not trace",
        ),
        (
            "module:mine.nets.build num_classes=7",
            "num_classes: 7 is not possible for mine.nets.build; 5, its number of",
        ),
        ("module:mine.nets.build exits=firts", "exits: 'firts' is unknown; did you mean 'first'"),
        ("module:mine.nets.build in_chans=1", "resolution: mine.nets.build does not take images of 224x224 pixels"),
        ("module:mine.nets.build mean=0.5,0.5", "mean: 2 numbers are not possible; one per channel, 3, are"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        search_spaces.create(text)


STORED = "module:mine.nets.build/1 resolution=16"


def test_a_stored_file_does_not_choose_a_function_to_run():
    with pytest.raises(
        ValueError, match="'mine.nets.build' is a Python function, .* with --allow-space mine.nets.build"
    ):
        search_spaces.restore(STORED)
    assert "mine.nets" not in sys.modules


def test_not_even_of_a_module_that_is_there():
    for name in ("os.abort", "sys.exit"):
        with pytest.raises(ValueError, match="is a Python function, which a stored file cannot choose to run"):
            search_spaces.restore(f"module:{name}/1")


@pytest.mark.parametrize("allowed", ["mine.nets", "mine.nets.build"])
def test_unless_the_user_allows_it(allowed):
    search_spaces.allow(allowed)
    assert search_spaces.restore(STORED).identity() == STORED


def test_or_has_named_it():
    assert search_spaces.create(STORED).num_classes == 5
    assert search_spaces.restore(STORED).identity() == STORED
