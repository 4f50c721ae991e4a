"""Training of a supernet, its file, and networks that inherit from it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nni_earlyexit import EarlyExitNetwork, data, search_spaces
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.evaluation.from_supernet import read_supernet
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.supernet.inheritance import inherit, some_inputs, take_weights
from nni_earlyexit.supernet.learning import accuracies, make_supernet
from nni_earlyexit.supernet.sandwich import Sandwich
from nni_earlyexit.supernet.statistics import estimate_statistics
from nni_earlyexit.supernet.supernet import Supernet
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.settings import Settings

EPOCHS = 4


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def file(tmp_path_factory, digits_space, said):
    path = tmp_path_factory.mktemp("supernet") / "digits.safetensors"
    make_supernet(digits_space, DataSettings(), Recipe(epochs=EPOCHS, threads=1), path, said.append)
    return path


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def inherited(supernet, sample, task):
    network = supernet.space.freeze(sample)
    take_weights(network, supernet.network, task)
    return network


def test_every_network_learns(file, said, digits_space, digits):
    assert said[-1].startswith(f"epoch {EPOCHS} of {EPOCHS}: validation accuracy of the exits, largest ")
    assert [path.name for path in file.parent.iterdir()] == ["digits.safetensors"]  # nothing else is left
    supernet, about = Supernet.load(file, digits_space)
    assert about["training"]["epochs"] == EPOCHS
    assert about["preprocessing"] == digits.preprocessing.to_dict()
    assert accuracies(inherited(supernet, supernet.largest, digits), digits)[-1] > 0.7
    assert accuracies(inherited(supernet, supernet.smallest, digits), digits)[-1] > 0.5


def test_the_steps_take_the_ends_of_the_space_and_others_that_the_seed_fixes(digits_space):
    module = Sandwich(Supernet(digits_space), Recipe(seed=3))

    class Trainer:
        estimated_stepping_batches = 100

    module._trainer = Trainer()
    module.on_train_start()
    assert module._paths(0) == [module._largest]
    first, second = module._paths(50), module._paths(51)
    assert (first[0], first[-1], len(first)) == (module._largest, module._smallest, 4)
    assert module._paths(50) == first
    assert first[1] != second[1]


def test_a_training_that_is_interrupted_goes_on(tmp_path, digits_space, file):
    path = tmp_path / "digits.safetensors"

    def stop(line):
        if line.startswith("epoch 3"):
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        make_supernet(digits_space, DataSettings(), Recipe(epochs=EPOCHS, threads=1), path, stop)
    assert not path.exists()
    with pytest.raises(ValueError, match="is of another training"):
        make_supernet(digits_space, DataSettings(), Recipe(epochs=EPOCHS + 1, threads=1), path)
    said = []
    make_supernet(digits_space, DataSettings(), Recipe(epochs=EPOCHS, threads=1), path, said.append)
    assert [line.split()[1] for line in said if line.startswith("epoch")] in (["3", "4"], ["4"])
    own, other = (Supernet.load(place, digits_space)[0].network.state_dict() for place in (path, file))
    for name, tensor in own.items():
        torch.testing.assert_close(tensor, other[name])


def test_statistics_of_a_frozen_backbone_stay(trained_digits, digits, rng):
    space = search_spaces.create("trained", folder=str(trained_digits))
    network = space.freeze(space.sample(rng))
    before = {name: tensor.clone() for name, tensor in network.stages.state_dict().items()}
    estimate_statistics(network, some_inputs(digits, 64))
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.stages.state_dict().items())


def test_statistics_are_those_of_the_inputs(digits_space, digits, two_exits):
    network = digits_space.freeze(two_exits)
    estimate_statistics(network, some_inputs(digits, 256))
    assert not network.training
    norm = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert norm.momentum == 0.1
    seen = []
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        for x in some_inputs(digits, 256):
            network(x)
    torch.testing.assert_close(norm.running_mean, torch.cat(seen).mean(dim=(0, 2, 3)), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("count", [128, 129, 257])
def test_no_batch_for_statistics_is_one_input_alone(digits, count):
    sizes = [len(x) for x in some_inputs(digits, count)]
    assert sum(sizes) == count
    assert min(sizes) > 1


def test_exits_of_one_form_are_no_hindrance(rng):
    space = search_spaces.create("digits exit_depth=1 exit_layers=ds_k3 exit_heads=avg")
    network = space.freeze(space.sample(rng))
    inherit(network, Supernet(space).network)
    assert network.exit_costs


@pytest.mark.parametrize(
    "narrower",
    [
        "digits max_exits=0",
        "digits exit_depth=0 exit_heads=avg",
        "digits exit_depth=1 exit_layers=ds_k3 fixed_exits=0",
        "digits banned_exits=1",
    ],
)
def test_a_narrower_space_takes_its_weights_from_the_same_supernet(file, digits_space, digits, tmp_path, narrower, rng):
    space = search_spaces.create(narrower)
    sample = space.sample(rng)
    wide = digits_space.widened(sample, space)
    assert digits_space.exit_costs(wide) == space.exit_costs(sample)
    supernet, _ = Supernet.load(file, digits_space)
    settings = Settings.from_options(weights=str(file), threads=1)
    train_one(space, sample, settings, tmp_path / "taken", say=lambda line: None)
    own = exit_logits(EarlyExitNetwork.load(tmp_path / "taken"), digits.test.parts())
    np.testing.assert_allclose(own, exit_logits(inherited(supernet, wide, digits), digits.test.parts()), atol=1e-4)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ("digits exit_layers=conv_k5 exit_depth=1", "exit._layer0='conv_k5' is not possible in space digits/2"),
        ("resnet channels=8 resolution=8", "is no part of space digits/2"),
    ],
)
def test_a_space_that_is_no_part_of_the_supernets_is_said(file, digits, other, sentence):
    space = search_spaces.create(other)
    network = space.freeze(space.extreme(space.exit_costs, exit=-1, most=True)[0])
    with pytest.raises(ValueError, match=f"^weights: the supernet is one of 'digits/2', not of .*{sentence}"):
        read_supernet(str(file), network, digits)


def test_a_trial_takes_the_weights_and_may_train_further(file, digits_space, two_exits, tmp_path, digits):
    taken = Settings.from_options(weights=str(file), threads=1)
    result = train_one(digits_space, two_exits, taken, tmp_path / "taken", say=lambda line: None)
    supernet, _ = Supernet.load(file, digits_space)
    expected = exit_logits(inherited(supernet, two_exits, digits), digits.test.parts())
    own = exit_logits(EarlyExitNetwork.load(tmp_path / "taken"), digits.test.parts())
    np.testing.assert_allclose(own, expected, atol=1e-4)
    assert result.metrics["epochs"] == 0
    # steps that are too small to lead away from where it begins, and usual ones
    for folder, options in (("stays", {"epochs": 3, "learning_rate": 1e-12}), ("further", {"epochs": 15})):
        settings = Settings.from_options(weights=str(file), finetune=True, threads=1, **options)
        trained = train_one(digits_space, two_exits, settings, tmp_path / folder, say=lambda line: None)
        assert trained.metrics["epochs"] == options["epochs"]
        own = dict(trained.network.named_parameters())
        same = [torch.allclose(own[name], value, atol=1e-6) for name, value in result.network.named_parameters()]
        assert all(same) == (folder == "stays")
    assert trained.validation[0] > result.validation[0]
    assert trained.validation[-1] > result.validation[-1]


def test_what_does_not_fit_is_one_sentence(file, digits_space, tmp_path, two_exits):
    with pytest.raises(FileNotFoundError, match="weights: there is no file"):
        Supernet.load(tmp_path / "none", digits_space)
    with pytest.raises(ValueError, match=r"is a supernet of 'digits/2', not of 'digits/2 max_exits=1'"):
        Supernet.load(file, search_spaces.create("digits max_exits=1"))
    (tmp_path / "cut").write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is damaged"):
        Supernet.load(tmp_path / "cut", digits_space)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    (tmp_path / "changed").write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: its checksum is another one"):
        Supernet.load(tmp_path / "changed", digits_space)
    settings = Settings.from_options(weights=str(file), seed=1)
    with pytest.raises(ValueError, match="learned from other data"):
        train_one(digits_space, two_exits, settings, tmp_path / "seed", say=lambda line: None)
    with pytest.raises(ValueError, match="exists; choose another name"):
        make_supernet(digits_space, DataSettings(), Recipe(), file)
    with pytest.raises(ValueError, match=r"distillation: 0\.5 is not possible for a supernet"):
        make_supernet(digits_space, DataSettings(), Recipe(distillation=0.5), tmp_path / "x")
    frozen = search_spaces.create("timm:resnet10t frozen=true resolution=32")
    with pytest.raises(ValueError, match="keeps its backbone"):
        make_supernet(frozen, DataSettings(), Recipe(), tmp_path / "x")
    with pytest.raises(ValueError, match="finetune: it needs weights"):
        Recipe(finetune=True)
    network = search_spaces.create("resnet channels=8").freeze(
        search_spaces.create("resnet channels=8").cheapest(exit=-1)[0]
    )
    with pytest.raises(ValueError, match="of another space"):
        inherit(network, Supernet(digits_space).network)


def test_each_batch_for_statistics_is_of_all_the_inputs():
    """Images in folders are in the order of their classes, and a batch of one class has other statistics."""

    class Ordered:
        def __len__(self):
            return 45_000

        def prepared(self, places):
            return torch.from_numpy(places)

    for batch in some_inputs(SimpleNamespace(train=Ordered()), 1024):
        counts = torch.bincount(batch // 4_500, minlength=10)
        assert counts.min() >= 12
