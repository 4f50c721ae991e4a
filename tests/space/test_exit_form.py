"""The forms that an exit can have, as arguments of every space."""

from __future__ import annotations

import re

import pytest
from nni.nas import strategy
from nni.nas.space import SimplifiedModelSpace
from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.nn import blocks, exit_branch
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.search_spaces import digits
from nni_earlyexit.space.search_domain import domain

CLASSIFIER_ONLY = "digits exit_depth=0"
FIXED_BRANCH = "digits exit_depth=1 exit_layers=conv_k3 exit_heads=avg"
STAGE = sum(len(digits.BLOCKS) ** depth for depth in (1, 2, 3))


def test_without_them_a_space_is_the_one_that_it_was(digits_space):
    assert digits_space.identity() == "digits/2"
    assert (
        search_spaces.create("digits", exit_depth=None, exit_layers=None).search_space() == digits_space.search_space()
    )


def test_the_same_forms_as_by_default_make_the_same_choices(digits_space):
    from nni_earlyexit.nn.mutables import EXIT_HEADS, EXIT_LAYERS

    space = search_spaces.create("digits", exit_depth=(0, 3), exit_layers=EXIT_LAYERS, exit_heads=EXIT_HEADS)
    assert space.choices == digits_space.choices
    assert space.size() == digits_space.size()


def test_exits_that_are_always_there_are_described(rng):
    space = search_spaces.create("digits fixed_exits=0,2 exit_depth=0")
    sample = space.sample(rng) | {"exit1_present": "no"}
    stages = space.describe(sample).split(" | ")
    assert ["[" in stage for stage in stages] == [True, False, True, False]  # the last is behind the backbone


@pytest.mark.parametrize(
    ("text", "branches", "described"),
    [
        (CLASSIFIER_ONLY, 2, {"avg", "catavgmax"}),
        (FIXED_BRANCH, 1, {"conv_k3 avg"}),
        ("digits exit_depth=1,2 exit_layers=ds_k3 exit_heads=avg", 2, {"ds_k3 avg", "ds_k3 ds_k3 avg"}),
        ("digits exit_depth=2 exit_layers=ds_k3,basic_w50 exit_heads=catavgmax", 4, None),
    ],
)
def test_sizes_descriptions_and_costs_are_those_of_the_exits_that_can_be(text, branches, described, rng):
    space = search_spaces.create(text)
    assert space.size() == STAGE**4 * (1 + branches) ** 3
    seen = set()
    for _ in range(12):
        sample = space.sample(rng)
        assert space.canonical(sample) == sample
        network = space.freeze(sample)
        assert space.exit_costs(sample) == network.exit_costs
        assert space.exit_params(sample) == network.exit_params
        assert space.exit_activation_bytes(sample) == network.exit_activation_bytes
        seen |= {part.split("]")[0] for part in space.describe(sample).split("[")[1:]}
    if described is not None:
        assert seen == described
    again = search_spaces.create(space.identity())
    assert (again.identity(), again.choices) == (space.identity(), space.choices)


@pytest.mark.parametrize("text", [CLASSIFIER_ONLY, FIXED_BRANCH])
def test_nni_makes_the_same_networks_of_it(text, rng):
    space = search_spaces.create(text)
    sample = {**space.sample(rng), "exit1_present": "yes"}
    entries = space.search_space()
    del entries["space"]
    assert entries == {label: mutable.as_legacy_dict() for label, mutable in space.simplify().items()}
    theirs = SimplifiedModelSpace.from_model(space, None).freeze(sample).executable_model()
    assert list(space.freeze(sample).state_dict()) == list(theirs.state_dict())


def test_depth_zero_is_a_classifier_alone(rng):
    space = search_spaces.create(CLASSIFIER_ONLY)
    network = space.freeze({**space.sample(rng), "exit0_present": "yes", "exit0_head": "avg"})
    assert [tuple(p.shape) for p in network.exits["0"].parameters()] == [(10, 16), (10,)]


@pytest.mark.parametrize("name", ["DARTS", "Proxyless", "RandomOneShot"])
@pytest.mark.parametrize("form", ["exit_depth=0", "exit_depth=1 exit_layers=conv_k3 exit_heads=avg"])
def test_one_shot_strategies_make_a_supernet_of_it(name, form):
    space = search_spaces.create(f"digits fixed_exits=0,2 banned_exits=1 {form}")
    one_shot = getattr(strategy, name)()
    supernet = one_shot.mutate_model(space)
    assert supernet is not None


@pytest.mark.parametrize("name", ["random", "nsga2"])
def test_strategies_search_it(name):
    space = search_spaces.create(FIXED_BRANCH)
    searched = strategies.create(name, seed=0)
    searched.start(domain(space, Limits(max_full_macs=3e6)))
    for i in range(40):
        sample = searched.ask()
        space.check(sample)
        searched.tell(sample, {"accuracy": i / 40, "avg_macs": space.exit_costs(sample)[0]})


@pytest.mark.parametrize(
    "text",
    [
        "mobilenetv3 halvings=5 exit_depth=1 exit_layers=mqa_h4",
        pytest.param("mobilenetv4 exit_depth=0,1 exit_layers=fused_k3_e2", marks=pytest.mark.slow),
        "resnet channels=16 exit_layers=basic_w50,uib_s3_m0_e4 exit_depth=1",
        "vit exit_layers=attn_h8_r1 exit_depth=2 exit_heads=avg",
        "text exit_layers=mlp_r2_pad exit_depth=1",
        "timm:resnet10t resolution=32 exit_layers=conv_k3 exit_depth=1",
        pytest.param("timm:swin_tiny_patch4_window7_224 resolution=64 exit_layers=conv_k3", marks=pytest.mark.slow),
        "timm:vit_tiny_patch16_224 resolution=32 exit_depth=0",
    ],
)
def test_every_space_takes_them_and_costs_stay_exact(text, rng):
    space = search_spaces.create(text)
    present = {label: "yes" for label in space.optional_exits}
    sample = space.canonical({**space.sample(rng), **present})
    assert space.exit_costs(sample) == space.freeze(sample).exit_costs


class Own(digits.Space):
    """A space whose exits are built by functions of its own."""

    name = "own"

    @classmethod
    def parts(cls, num_classes=10):
        parts = super().parts(num_classes)
        return parts._replace(exits=[lambda: exit_branch(16, num_classes, label="exit0"), None, None])


def test_a_space_whose_exits_take_no_form_says_so():
    assert Own().choices["exit0_depth"] == [0, 1, 2, 3]
    with pytest.raises(
        ValueError, match="exit_depth: the function that builds the exit after stage 0 takes no 'depth'"
    ):
        Own(exit_depth=1)


def test_an_argument_of_the_spaces_own_stays_its_own():
    class Named(digits.Space):
        name = "named"

        @classmethod
        def parts(cls, exit_depth=7):
            return super().parts(exit_depth)

    assert Named(exit_depth=5).num_classes == 5


DEPTHS = "a whole number from 0 to 12, or two of them with the smaller one first, is"
NAMES = "one name or several different ones are"
AFTER = "is not possible after stage 0"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("digits exit_depth=3,1", f"exit_depth: [3, 1] is not possible; {DEPTHS}"),
        ("digits exit_depth=-1", f"exit_depth: -1 is not possible; {DEPTHS}"),
        ("digits exit_depth=a", f"exit_depth: 'a' is not possible; {DEPTHS}"),
        ("digits exit_depth=0,1,2", f"exit_depth: [0, 1, 2] is not possible; {DEPTHS}"),
        ("digits exit_depth=13", f"exit_depth: 13 is not possible; {DEPTHS}"),
        ("digits exit_layers=convk3", "exit_layers: 'convk3' is not possible; a block such as conv_k3, ds_k5"),
        ("digits exit_layers=ds_k3,ds_k3", f"exit_layers: ['ds_k3', 'ds_k3'] is not possible; {NAMES}"),
        (
            "digits exit_layers=attn_h4_r1",
            f"exit_layers: 'attn_h4_r1' {AFTER}, from which images come; a layer of images",
        ),
        (
            "vit exit_layers=conv_k3",
            f"exit_layers: 'conv_k3' {AFTER}, from which tokens come; a layer of tokens such as",
        ),
        (
            "vit exit_layers=attn_h3_r1",
            f"exit_layers: 'attn_h3_r1' {AFTER}; a layer that takes 128 channels of tokens and",
        ),
        (
            "text exit_layers=attn_h4_r1",
            "exit_layers: 'attn_h4_r1' is not possible for tokens with padding; attn_h4_r1_pad",
        ),
        (
            "digits exit_layers=conv_k4",
            f"exit_layers: 'conv_k4' {AFTER}; a layer that takes 16 channels of images and keeps",
        ),
        ("digits exit_heads=max", "exit_heads: 'max' is not possible; 'avg' and 'catavgmax' are"),
        ("digits exit_heads=3", f"exit_heads: [3] is not possible; {NAMES}"),
    ],
)
def test_forms_that_cannot_be_are_refused_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        search_spaces.create(text)


def test_a_layer_of_ones_own_that_changes_the_shape_is_refused(monkeypatch):
    from torch import nn

    monkeypatch.setattr(blocks, "_builders", dict(blocks._builders))
    blocks.register(r"shrink")(lambda in_chs, out_chs, stride, act_layer: nn.Conv2d(in_chs, out_chs, 3))
    with pytest.raises(
        ValueError, match="'shrink' is not possible after stage 0; .* keeps them is .it changes the shape"
    ):
        search_spaces.create("digits exit_layers=shrink")
