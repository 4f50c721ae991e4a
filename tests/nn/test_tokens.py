"""Sentences of different lengths in one batch: padding changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.nn import counting
from nni_earlyexit.nn.blocks import build
from nni_earlyexit.nn.tokens import TokenPool
from nni_earlyexit.thresholds.policy import ExitPolicy


@pytest.fixture(scope="module")
def space():
    return search_spaces.create("text tokens=24 channels=32 vocabulary=100", fixed_exits=(0, 1, 2))


@pytest.mark.parametrize("seed", range(5))
def test_padding_changes_no_logits_of_any_exit(space, seed):
    sample = space.sample(np.random.default_rng(seed))
    torch.manual_seed(seed)
    network = space.freeze(sample).eval()
    words = torch.randint(1, 100, (3, 9))
    padded = torch.zeros(3, 24, dtype=torch.long)
    padded[:, :9] = words
    with torch.no_grad():
        for short, full in zip(network(words), network(padded), strict=True):
            assert torch.allclose(short, full, atol=1e-5)


def test_what_else_is_in_the_batch_changes_nothing(space):
    network = space.freeze(space.sample(np.random.default_rng(0))).eval()
    sentences = torch.zeros(2, 24, dtype=torch.long)
    sentences[0, :4] = torch.tensor([5, 6, 7, 8])
    sentences[1] = torch.arange(1, 25)
    with torch.no_grad():
        together, alone = network(sentences)[-1][0], network(sentences[:1])[-1][0]
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_row_without_any_token_gives_finite_logits(space):
    network = space.freeze(space.sample(np.random.default_rng(1))).eval()
    with torch.no_grad():
        assert all(torch.isfinite(logits).all() for logits in network(torch.zeros(2, 24, dtype=torch.long)))


def test_the_cost_is_that_of_a_full_row_whatever_is_in_it(space):
    sample = space.sample(np.random.default_rng(2))
    network = space.freeze(sample).eval()
    for tokens in (1, 24):
        row = torch.zeros(1, 24, dtype=torch.long)
        row[:, :tokens] = 3
        with counting.counter() as counter, torch.no_grad():
            network(row)
        assert counter.get_total_flops() == 2 * space.exit_costs(sample)[-1]


def test_sentences_leave_at_their_own_exits(space):
    network = space.freeze(space.sample(np.random.default_rng(3))).eval()
    x = torch.randint(0, 100, (20, 24))
    with torch.no_grad():
        logits = torch.stack(network(x), dim=1).numpy()
    middle = float(np.median(torch.from_numpy(logits[:, 0]).softmax(dim=1).max(dim=1).values))
    policy = ExitPolicy((middle, middle, middle, -np.inf), "max_prob")
    _, exits = network.predict(x, policy)
    assert exits.tolist() == policy.exits(logits).tolist()
    assert len(set(exits.tolist())) > 1


@pytest.mark.parametrize("name", ["attn_h4_r2_pad", "mlp_r2_pad"])
def test_a_block_keeps_padding_zero_and_treats_tokens_as_without(name):
    torch.manual_seed(0)
    block, x = build(name, 16, 16).eval(), torch.randn(2, 10, 16)
    x[:, 7:] = 0
    with torch.no_grad():
        y = block(x)
        assert (y[:, 7:] == 0).all()
        assert torch.allclose(y[:, :7], block.block(x[:, :7]), atol=1e-6)


def test_pooling_averages_and_maximises_over_tokens_only():
    x = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [0.0, 0.0]]])
    assert TokenPool("avg", padded=True)(x).tolist() == [[2.0, -6.0]]
    assert TokenPool("catavgmax", padded=True)(x).tolist() == [[2.0, -6.0, 3.0, -5.0]]
    with pytest.raises(ValueError, match="pool_type: 'max' is not possible; 'avg' and 'catavgmax' are"):
        TokenPool("max")
