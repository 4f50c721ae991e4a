"""Networks that were trained here as backbones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from backbones import all_exits, train_a_step
from nni_earlyexit import EarlyExitNetwork, search_spaces
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.training.settings import Settings


@pytest.fixture
def trained(trained_digits):
    return trained_digits, EarlyExitNetwork.load(trained_digits)


def test_the_last_exit_is_that_of_the_network_and_costs_are_exact(trained):
    folder, network = trained
    space = search_spaces.create("trained", folder=str(folder))
    assert search_spaces.create(space.identity()).identity() == space.identity()
    sample = all_exits(space)
    new = space.freeze(sample).eval()
    x = torch.randn(4, *network.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(new(x)[-1], network.eval()(x)[-1], atol=1e-5, rtol=0)
    assert new.exit_stages == tuple(range(len(network.stages)))
    assert space.exit_costs(sample) == new.exit_costs


def test_it_keeps_its_weights_and_the_space_its_own(trained):
    folder, network = trained
    space = search_spaces.create("trained", folder=str(folder))
    new = train_a_step(space)
    for name, value in network.stages[0].state_dict().items():
        assert torch.equal(new.stages[0].state_dict()[f"body.{name}"], value)
    assert not any(parameter.requires_grad for parameter in new.exits[str(new.exit_stages[-1])].parameters())
    assert any(parameter.requires_grad for parameter in new.exits["0"].parameters())
    assert all(parameter.requires_grad for parameter in space.freeze(all_exits(space)).exits["0"].parameters())


def test_sentences_keep_their_padding(tmp_path, rng):
    lines = [f"{' '.join(rng.choice(['good', 'bad', 'film', 'plot'], 4))}\t{i % 2}" for i in range(60)]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    space = search_spaces.create("text tokens=8 channels=8 vocabulary=16")
    settings = Settings.from_options(data=f"tsv:{tmp_path / 'train.tsv'}", epochs=1, tokens=8, vocabulary=16)
    train_one(space, space.cheapest(exit=-1)[0], settings, tmp_path / "net", say=lambda line: None)
    taken = search_spaces.create("trained", folder=str(tmp_path / "net"))
    assert all(layer.endswith("_pad") for layer in taken.choices["exit0_layer0"])
    network = taken.freeze(all_exits(taken)).eval()
    ids = torch.tensor([[3, 4, 0, 0, 0, 0, 0, 0]])
    short = torch.tensor([[3, 4]])
    with torch.no_grad():
        for whole, cut in zip(network(ids), network(short), strict=True):
            np.testing.assert_allclose(whole, cut, atol=1e-5)


def test_a_folder_without_a_network_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished trial"):
        search_spaces.create("trained", folder=str(tmp_path))
