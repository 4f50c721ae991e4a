from __future__ import annotations

import pytest
import torch
from nni_earlyexit.training.distillation import distillation_loss
from nni_earlyexit.training.exit_weights import exit_weights
from nni_earlyexit.training.gradient_equilibrium import gradient_equilibrium
from nni_earlyexit.training.joint_loss import JointLoss
from nni_earlyexit.training.recipe import Recipe
from small_networks import network
from torch.nn.functional import cross_entropy


@pytest.mark.parametrize("wanted", [None, "constant", ("constant",)])
def test_exits_count_the_same_by_default(wanted):
    assert exit_weights(wanted, network()) == pytest.approx([1 / 3] * 3)


def test_weights_grow_with_the_exit_or_with_its_cost():
    net = network()
    assert exit_weights("linear", net) == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    total = sum(net.exit_costs)
    assert exit_weights("cost", net) == pytest.approx([cost / total for cost in net.exit_costs])


def test_numbers_are_per_stage_and_those_of_absent_exits_do_not_count():
    assert exit_weights((1, 5, 3), network().keep((0, 2))) == pytest.approx([0.25, 0.75])
    with pytest.raises(ValueError, match="exit_weights: 2 given for 3 stages"):
        exit_weights((1, 5), network())
    with pytest.raises(ValueError, match="leave no weight"):
        exit_weights((0, 5, 0), network().keep((0, 2)))


def test_distillation_is_zero_for_equal_answers_and_teaches_only_the_student():
    student, teacher = torch.randn(8, 5, requires_grad=True), torch.randn(8, 5, requires_grad=True)
    assert distillation_loss(teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    distillation_loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_gradients_of_distillation_move_an_answer_towards_the_teacher():
    student, teacher = torch.zeros(1, 3, requires_grad=True), torch.tensor([[2.0, 0.0, -2.0]])
    distillation_loss(student, teacher).backward()
    assert (-student.grad).argmax() == teacher.argmax()


def test_gradient_equilibrium_changes_no_output_and_gives_each_exit_the_same_part_of_a_shared_stage():
    net = network().eval()
    x = torch.randn(4, 1, 8, 8)
    weight = net.stem[0].weight

    def gradient(exit: int) -> torch.Tensor:
        net.zero_grad()
        net(x)[exit].pow(2).sum().backward()
        return weight.grad.clone()

    plain, outputs = [gradient(exit) for exit in range(3)], net(x)
    with gradient_equilibrium(net):
        assert all(torch.equal(a, b) for a, b in zip(outputs, net(x), strict=True))
        scaled = [gradient(exit) for exit in range(3)]
    for before, after in zip(plain, scaled, strict=True):
        torch.testing.assert_close(after, before / 3)
    torch.testing.assert_close(gradient(1), plain[1])


def loss_of(recipe: Recipe, logits, y, **arguments):
    module = JointLoss(recipe, **arguments)
    module.set_model(network())
    return module.loss(logits, y)


def test_the_joint_loss_is_the_weighted_mean_of_the_exits():
    logits, y = [torch.randn(6, 2) for _ in range(3)], torch.tensor([0, 1, 0, 1, 1, 0])
    each = torch.stack([cross_entropy(exit, y) for exit in logits])
    torch.testing.assert_close(loss_of(Recipe(), logits, y), each.mean())
    linear = loss_of(Recipe(exit_weights="linear"), logits, y)
    torch.testing.assert_close(linear, (each * torch.tensor([1 / 6, 2 / 6, 3 / 6])).sum())


def test_a_share_of_the_early_exits_loss_is_taken_from_the_last_exit():
    logits, y = [torch.randn(6, 2) for _ in range(3)], torch.tensor([0, 1, 0, 1, 1, 0])
    each = [cross_entropy(exit, y) for exit in logits]
    taught = [0.7 * each[k] + 0.3 * distillation_loss(logits[k], logits[2]) for k in range(2)]
    torch.testing.assert_close(loss_of(Recipe(distillation=0.3), logits, y), torch.stack([*taught, each[2]]).mean())


def test_rare_classes_weigh_more():
    logits = [torch.tensor([[2.0, 0.0], [0.0, 0.0]])] * 3
    y = torch.tensor([0, 1])
    equal = loss_of(Recipe(class_weights=True), logits, y, class_counts=[50, 50])
    rare = loss_of(Recipe(class_weights=True), logits, y, class_counts=[90, 10])
    assert rare > equal
    torch.testing.assert_close(equal, loss_of(Recipe(), logits, y))


def test_mixed_labels_are_shares_of_classes_and_are_not_smoothed_twice():
    recipe = Recipe(label_smoothing=0.5)
    logits, y = [torch.randn(4, 2)] * 3, torch.tensor([0, 1, 1, 0])
    shares = torch.nn.functional.one_hot(y, 2).float()
    torch.testing.assert_close(loss_of(recipe, logits, shares), cross_entropy(logits[0], y))
