"""How often images are halved, and the resolutions that a space can have."""

from __future__ import annotations

import pytest
import timm
from nni_earlyexit import search_spaces
from nni_earlyexit.space.resolution import check_halvings, kept_strides, nearest
from safetensors.torch import save_file


@pytest.mark.parametrize(("resolution", "halvings"), [(32, 3), (88, 3), (96, 5), (224, 5)])
def test_small_images_are_halved_three_times_unless_the_user_says_otherwise(resolution, halvings):
    assert check_halvings(resolution) == halvings
    assert check_halvings(resolution, 2) == 2


def test_the_halvings_that_are_too_many_are_left_out_at_the_beginning():
    assert kept_strides([2, 2, 1, 2, 2], 4) == [2, 2, 1, 2, 2]
    assert kept_strides([2, 2, 1, 2, 2], 2) == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("name", ["mobilenetv3", "mobilenetv4", "resnet"])
def test_halvings_are_what_is_built(name):
    for halvings in (1, 5):
        space = search_spaces.create(f"{name} resolution=32 halvings={halvings} max_exits=0")
        network = space.freeze(space.cheapest(exit=-1)[0]).eval()
        import torch

        x = network.stem(torch.zeros(1, 3, 32, 32))
        for stage in network.stages:
            x = stage(x)
        assert x.shape[-2:] == (32 >> halvings, 32 >> halvings)


def test_imagenets_strides_on_small_images_cost_what_the_literature_searches():
    """EDANAS, NACHOS and AEBNAS: 5.9M to 11.5M MACs on 32 x 32 pixels."""
    space = search_spaces.create("mobilenetv3 resolution=32 halvings=5 max_exits=0")
    least, most = (space.extreme(space.exit_costs, exit=-1, most=most)[1] for most in (False, True))
    assert (least, most) == (3_935_184, 15_198_240)
    assert least < 5.9e6 < 11.5e6 < most


def test_halvings_by_default_are_no_part_of_the_identity():
    assert search_spaces.create("mobilenetv3", halvings=None).identity() == "mobilenetv3/1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mobilenetv3 halvings=6", "halvings: 6 is not possible; a whole number from 1 to 5 is"),
        ("mobilenetv4 halvings=x", "halvings: 'x' is not possible; a whole number from 1 to 5 is"),
        ("resnet halvings=0", "halvings: 0 is not possible; a whole number from 1 to 5 is"),
        ("mobilenetv3 resolution=40 halvings=5", "resolution: 40 cannot be divided .* a multiple of 32 can, such as 32"),
        ("resnet resolution=224 halvings=4 channels=8 num_classes=1", None),
        ("digits halvings=3", "space digits: 'halvings' is unknown"),
        ("vit halvings=3", "space vit: 'halvings' is unknown"),
    ],
)  # fmt: skip
def test_halvings_that_cannot_be_are_refused_in_one_sentence(text, sentence):
    if sentence is None:
        assert search_spaces.create(text).input_shape == (3, 224, 224)
        return
    with pytest.raises(ValueError, match=sentence):
        search_spaces.create(text)


@pytest.mark.parametrize(
    ("name", "arguments", "pixels", "resolution"),
    [
        ("mobilenetv3", {}, 28, 32),
        ("mobilenetv3", {"max_exits": 1}, 95, 96),
        ("mobilenetv3", {"resolution": 224}, 100, 96),
        ("mobilenetv4", {"halvings": 5}, 50, 64),
        ("resnet", {}, 3, 8),
        ("vit", {}, 30, 32),
        ("vit", {"patch": 7}, 28, 28),
        ("timm", {"model": "resnet10t"}, 45, 45),
        ("timm", {"model": "vit_tiny_patch16_224"}, 31, 32),
        ("digits", {}, 28, None),
        ("text", {}, 28, None),
    ],
)
def test_the_nearest_resolution_that_a_space_can_have(name, arguments, pixels, resolution):
    assert search_spaces.find(name).nearest_resolution(pixels, **arguments) == resolution


def test_no_resolution_near_is_said():
    def never(resolution):
        raise ValueError(f"resolution: {resolution} is never possible")

    with pytest.raises(ValueError, match="resolution: 30 is not possible, and nothing within 256 pixels of it is"):
        nearest(30, never)
    with pytest.raises(ValueError, match="space vit: 'patches' is unknown; did you mean 'patch'"):
        search_spaces.find("vit").nearest_resolution(30, patches=4)


def test_what_is_wrong_at_every_resolution_is_said_at_once(tmp_path):
    tried = []

    def unknown(resolution):
        tried.append(resolution)
        raise ValueError("model: 'resnt18' is unknown")

    with pytest.raises(ValueError, match="^model: 'resnt18' is unknown"):
        nearest(30, unknown)
    assert tried == [30]
    with pytest.raises(ValueError, match="^halvings: 9 is not possible"):
        search_spaces.find("mobilenetv3").nearest_resolution(32, halvings=9)
    with pytest.raises(ValueError, match="^model: 'resnt18' is unknown; did you mean"):
        search_spaces.find("torchvision").nearest_resolution(32, model="resnt18")


def test_weights_for_places_say_the_resolution(tmp_path):
    weights = tmp_path / "vit.safetensors"
    save_file(timm.create_model("vit_tiny_patch16_224", img_size=64).state_dict(), weights)
    given = {"model": "vit_tiny_patch16_224", "weights": str(weights)}
    assert search_spaces.find("timm").nearest_resolution(32, **given) == 64


def test_a_space_says_which_arguments_it_takes():
    assert search_spaces.find("vit").takes("num_classes")
    assert search_spaces.find("digits").takes("exit_depth")
    assert not search_spaces.find("digits").takes("resolution")
