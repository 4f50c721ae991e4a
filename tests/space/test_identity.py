from __future__ import annotations

import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.space import identity


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("digits", ("digits", None, {})),
        ("digits/2", ("digits", 2, {})),
        ("mobilenetv3/1 resolution=224 width=0.5", ("mobilenetv3", 1, {"resolution": 224, "width": 0.5})),
        ("digits fixed_exits=0,2 banned_exits=1,", ("digits", None, {"fixed_exits": (0, 2), "banned_exits": (1,)})),
        ("timm:vit_tiny_patch16_224.augreg_in21k/1", ("timm", 1, {"model": "vit_tiny_patch16_224.augreg_in21k"})),
        ("timm:resnet18 frozen=true 'weights=/a folder/w.safetensors'",
         ("timm", None, {"model": "resnet18", "frozen": True, "weights": "/a folder/w.safetensors"})),
        ("trained/1 folder=/runs/lr=0.1,wd=0", ("trained", 1, {"folder": "/runs/lr=0.1,wd=0"})),
        ("my.tiny/3", ("my.tiny", 3, {})),
    ],
)  # fmt: skip
def test_a_space_and_its_arguments_are_one_line(text, parts):
    assert identity.parse(text) == parts
    if parts[1] is not None:
        assert identity.write(*parts) == text
    assert identity.parse(identity.write(parts[0], 1, parts[2])) == (parts[0], 1, parts[2])


def test_words_of_a_command_line_may_hold_spaces():
    text = identity.of_words(["timm:resnet18", "weights=/my data/w.safetensors", "frozen=true"])
    assert identity.parse(text).arguments["weights"] == "/my data/w.safetensors"
    assert identity.of_words(["digits max_exits=2"]) == "digits max_exits=2"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "space: '' is not a space"),
        ("9lives", "space: '9lives' is not a space"),
        ("digits resolution", "space: 'resolution' in 'digits resolution' is not an argument"),
        ("digits 'resolution=8", "cannot be read: No closing quotation"),
    ],
)
def test_what_is_not_written_so_is_refused(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        identity.parse(text)


def test_arguments_that_equal_their_default_are_left_out():
    assert search_spaces.create("digits", num_classes=10, max_exits=None).identity() == "digits/2"
    assert search_spaces.create("digits", fixed_exits=[1]).identity() == "digits/2 fixed_exits=1,"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("digit", "space: 'digit' is unknown; did you mean 'digits'"),
        ("digits/1", "space: 'digits/1' is not 'digits/2', which is installed"),
        ("digits max_exit=1", "space digits: 'max_exit' is unknown; did you mean 'max_exits'"),
        ("digits max_exits=-1", "max_exits: -1 is not possible; a whole number from 0 is"),
        ("digits first_exit=1.5", "first_exit: 1.5 is not possible; a whole number from 0 is"),
        ("timm:resnet10t frozen=False", "^frozen: 'False' is not possible; true or false is"),
        ("digits num_classes=many", "^num_classes: 'many' is not possible"),
        ("vit patch=0", "^patch: 0 is not possible"),
        ("digits fixed_exits=3", "fixed_exits: 3 is not possible; stages 0 to 2 are"),
        ("digits fixed_exits=0 first_exit=1", "fixed_exits: stage 0 is banned by first_exit or banned_exits"),
        ("digits fixed_exits=0,1 max_exits=1", "fixed_exits: 2 are more than max_exits=1"),
        ("mobilenetv3 resolution=225", "resolution: 225 cannot be divided evenly by the strides; a multiple of 32 can"),
        ("resnet resolution=36", "resolution: 36 cannot be divided evenly by the strides; a multiple of 8 can, such as 32"),
        ("resnet resolution=big", "resolution: 'big' is not possible"),
        ("resnet channels=12", "channels: 12 is not possible; a multiple of 8 from 8 is"),
        ("vit resolution=30", "resolution: 30 cannot be divided evenly by the strides; a multiple of 4 can"),
        ("mobilenetv3 width=0", "width: 0 is not possible; a number from 0.1 is"),
        ("text tokens=0", "tokens: 0 is not possible; a whole number from 1 is"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        search_spaces.create(text)
