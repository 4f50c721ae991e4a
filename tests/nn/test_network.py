from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from nni_earlyexit import EarlyExitNetwork, ExitPolicy
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.thresholds import learned_confidence as learned
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@pytest.fixture(scope="module")
def four_exits(digits_space):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    while True:
        network = digits_space.freeze(digits_space.sample(rng))
        if len(network.exits) == 4:
            return network.eval()


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def batch_sizes(modules):
    """Batch size of each call of each module, written down as the network runs."""
    sizes = [[] for _ in modules]
    for seen, module in zip(sizes, modules, strict=True):
        module.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(len(args[0])))
    return sizes


def test_logits_come_in_forward_order_one_tensor_per_exit(four_exits, inputs):
    logits = four_exits(inputs)
    assert [tuple(exit.shape) for exit in logits] == [(64, 10)] * 4


def test_absent_exits_give_no_logits(network, inputs):
    assert network.exit_stages == (0, 3)
    assert len(network(inputs)) == 2


def test_average_macs_count_every_branch_on_the_way(four_exits):
    backbone = []
    parts = [four_exits.stem]
    for stage in four_exits.stages:
        parts.append(stage)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            nn.Sequential(*parts)(torch.zeros(1, 1, 8, 8))
        backbone.append(counter.get_total_flops() // 2)
    branches = np.cumsum(four_exits.branch_costs)
    assert four_exits.exit_costs == [int(b + extra) for b, extra in zip(backbone, branches, strict=True)]


def test_a_look_at_a_part_leaves_a_network_in_its_mode(four_exits, inputs):
    before = {name: tensor.clone() for name, tensor in four_exits.state_dict().items()}
    network = four_exits.keep(range(4)).eval()
    assert network.exit_activation_bytes[0] > 0
    network.keep((3,)).predict(inputs[:4], ExitPolicy((-math.inf,)))
    network(inputs)
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in four_exits.state_dict().items())


@pytest.mark.parametrize("k", range(4))
def test_truncated_network_ends_at_its_exit_and_keeps_the_earlier_ones(four_exits, inputs, k):
    truncated = four_exits.truncate(k)
    assert truncated.exit_costs == four_exits.exit_costs[: k + 1]
    for ours, theirs in zip(truncated(inputs), four_exits(inputs), strict=False):
        torch.testing.assert_close(ours, theirs)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        truncated(torch.zeros(1, 1, 8, 8))
    assert counter.get_total_flops() // 2 == four_exits.exit_costs[k]


def test_truncating_at_an_exit_that_does_not_exist_is_refused(four_exits):
    with pytest.raises(IndexError, match="exit 4 does not exist"):
        four_exits.truncate(4)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("batch", [1, 64])
def test_running_under_a_policy_equals_running_all_exits_and_applying_it_afterwards(four_exits, inputs, seed, batch):
    rng = np.random.default_rng(seed)
    measure = ["max_prob", "entropy", "margin", "energy"][seed % 4]
    logits = exit_logits(four_exits, inputs)
    confidences = ExitPolicy((0.0, 0.0, 0.0, -math.inf), measure).confidences(logits)
    # between two confidences, so that rounding cannot decide; some exits for everything, some for nothing
    cutoffs = [
        rng.choice([math.inf, confidences[:, k].min() - 1, np.sort(confidences[:, k])[[31, 32]].mean()])
        for k in range(3)
    ]
    policy = ExitPolicy((*map(float, cutoffs), -math.inf), measure)
    x = inputs[:batch]
    given, exits = four_exits.predict(x, policy)
    expected = policy.exits(logits[:batch])
    assert exits.tolist() == expected.tolist()
    assert given.argmax(dim=1).tolist() == policy.predict(logits[:batch]).tolist()
    np.testing.assert_allclose(given.numpy(), logits[np.arange(batch), expected], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("confidence", ["max_prob", "patience", "learned"])
@pytest.mark.parametrize("dropped", [(), (0,), (1,), (0, 2), (0, 1, 2)])
def test_pruning_drops_exits_and_gives_the_same_answers_for_less(four_exits, inputs, confidence, dropped):
    logits = exit_logits(four_exits, inputs)
    kept = tuple(exit for exit in range(4) if exit not in dropped)
    models = [None] * 4
    if confidence == "learned":
        for end in range(1, len(kept)):
            gain = np.random.default_rng(end).normal(size=len(logits))
            models[kept[end - 1]] = learned.fit(logits[:, kept[:end]], gain, np.ones(len(gain)))
    cutoff = {"max_prob": 0.12, "patience": 1.0, "learned": 0.0}[confidence]
    cutoffs = [cutoff if exit in kept else math.inf for exit in range(3)]
    policy = ExitPolicy((*cutoffs, -math.inf), confidence, None, tuple(models) if confidence == "learned" else None)

    sizes = batch_sizes(four_exits.exits.values())
    expected, exits = four_exits.predict(inputs, policy)
    assert exits.tolist() == policy.exits(logits).tolist()
    assert [sizes[exit] for exit in dropped] == [[]] * len(dropped)  # a dropped exit is not run

    pruned = four_exits.prune(policy)
    answers, of_pruned = pruned.predict(inputs, policy.pruned())
    assert torch.equal(answers, expected)
    assert [kept[exit] for exit in of_pruned.tolist()] == exits.tolist()
    assert len(pruned.exits) == len(kept)
    paid = policy.costs_without_dropped(four_exits.exit_costs, four_exits.branch_costs)
    assert pruned.exit_costs == [paid[exit] for exit in kept]


def test_pruning_by_a_policy_of_another_network_is_refused(four_exits):
    with pytest.raises(ValueError, match="policy: it has 2 cutoffs, this network has 4 exits"):
        four_exits.prune(ExitPolicy((0.5, -math.inf)))


def test_inputs_that_have_left_cost_nothing_afterwards(four_exits, inputs):
    confidence = ExitPolicy((0.0, 0.0, 0.0, -math.inf)).confidences(exit_logits(four_exits, inputs))[:, 0]
    policy = ExitPolicy((float(np.sort(confidence)[[19, 20]].mean()), math.inf, math.inf, -math.inf))
    sizes = batch_sizes(four_exits.stages)
    four_exits.predict(inputs, policy)
    assert sizes == [[64], [20], [20], [20]]


def test_nothing_runs_once_all_inputs_have_left(four_exits, inputs):
    sizes = batch_sizes([*four_exits.stages, *four_exits.exits.values()])
    four_exits.predict(inputs, ExitPolicy((0.0, math.inf, math.inf, -math.inf)))
    assert sizes == [[64], [], [], [], [64], [], [], []]


def test_prediction_leaves_the_training_mode_as_it_was(network, inputs):
    network.train()
    network.predict(inputs, ExitPolicy((0.5, -math.inf)))
    assert network.training


def test_a_policy_for_another_number_of_exits_is_refused(network, inputs):
    with pytest.raises(ValueError, match="3 cutoffs, this network has 2 exits"):
        network.predict(inputs, ExitPolicy((0.5, 0.5, -math.inf)))


def test_the_last_exit_is_always_there():
    with pytest.raises(ValueError, match="cannot be None"):
        EarlyExitNetwork(nn.Identity(), [nn.Identity()], [None], input_shape=(1, 8, 8), num_classes=2)
