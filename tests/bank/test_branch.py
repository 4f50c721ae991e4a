"""Branches by their choices, and the networks that they make."""

from __future__ import annotations

import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.bank.branch import Branch, Branches


def test_a_network_is_its_branches(trained_space, rng):
    branches = Branches(trained_space)
    for _ in range(20):
        sample = trained_space.sample(rng)
        present = branches.present(sample)
        assert branches.sample(present) == sample
        assert [branch.stage for branch in present] == sorted(branch.stage for branch in present)


def test_what_makes_no_difference_is_no_part_of_a_branch(trained_space):
    branches = Branches(trained_space)
    labels = branches.domain(0).choices
    short = {label: values[0] for label, values in labels.items()}
    other = {**short, "exit0_layer2": labels["exit0_layer2"][-1]}
    assert short["exit0_depth"] == 0
    assert branches.branch(0, short) == branches.branch(0, other)
    assert branches.domain(0).canonical(other) == short
    deep = branches.branch(0, {**other, "exit0_depth": 3})
    assert dict(deep.choices)["exit0_layer2"] == other["exit0_layer2"]
    assert deep.name != branches.branch(0, short).name


def test_rules_of_the_space_hold(trained_digits):
    space = search_spaces.create("trained", folder=str(trained_digits), max_exits=1, fixed_exits=1)
    branches = Branches(space)
    first, second = (
        branches.branch(stage, {label: values[0] for label, values in branches.domain(stage).choices.items()})
        for stage in (0, 1)
    )
    assert branches.violation([second]) is None
    assert "no exit after stage 1" in branches.violation([first])
    assert "more than max_exits=1" in branches.violation([first, second])


def test_a_backbone_that_learns_has_no_branches_of_its_own(digits_space):
    with pytest.raises(ValueError, match="trains its backbone"):
        Branches(digits_space)


@pytest.mark.parametrize(
    "text",
    [
        "timm:resnet10t num_classes=7 resolution=32 frozen=true",
        "torchvision:resnet18 num_classes=7 resolution=32 frozen=true exits=layer2,layer3",
    ],
)
def test_a_classifier_that_is_new_must_be_trained_first(text):
    space = search_spaces.create(text)
    with pytest.raises(
        ValueError, match=r"is new and learns nothing in a bank; train it first with 'nni-earlyexit train"
    ):
        Branches(space)


def test_the_name_depends_on_the_choices_alone():
    assert Branch(1, (("a", 1), ("b", 2))).name == Branch(1, (("b", 2), ("a", 1))).name
    assert Branch(1, (("a", 1),)).name != Branch(2, (("a", 1),)).name
