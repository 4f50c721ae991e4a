from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from nni_earlyexit.nn.preprocessing import UNKNOWN_WORD, Preprocessing, resized, token_ids
from nni_earlyexit.nn.tokens import PADDING

COLOUR = Preprocessing((3, 8, 8), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), pixels=True, class_names=("cat", "dog"))
IMAGE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
EXPECTED = (torch.from_numpy(IMAGE).permute(2, 0, 1).float() / 255 - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / (
    torch.tensor([0.2, 0.3, 0.4])[:, None, None]
)


@pytest.mark.parametrize(
    "image",
    {
        "uint8, channels last": IMAGE,
        "uint8, channels first": IMAGE.transpose(2, 0, 1),
        "float, channels last": IMAGE / 255,
        "float32, channels first": (IMAGE / 255).transpose(2, 0, 1).astype(np.float32),
        "torch, uint8": torch.from_numpy(IMAGE),
        "torch, float, channels first": torch.from_numpy(IMAGE).permute(2, 0, 1) / 255,
    }.items(),
    ids=lambda item: item[0],
)
def test_the_same_image_is_the_same_input_however_it_is_given(image):
    for given in (image[1], image[1][None]):
        torch.testing.assert_close(COLOUR.inputs(given), EXPECTED[None], rtol=0, atol=1e-5)


def test_a_batch_keeps_its_order():
    batch = np.stack([IMAGE, 255 - IMAGE])
    torch.testing.assert_close(COLOUR.inputs(batch)[0], EXPECTED, rtol=0, atol=1e-5)
    assert not torch.allclose(COLOUR.inputs(batch)[1], EXPECTED)


def test_grey_images_are_repeated_to_the_channels_of_the_network():
    grey = IMAGE[..., 0]
    one = COLOUR.inputs(grey)
    assert one.shape == (1, 3, 8, 8)
    torch.testing.assert_close(one, COLOUR.inputs(np.repeat(grey[..., None], 3, axis=2)))
    assert COLOUR.inputs(np.stack([grey] * 5)).shape == (5, 3, 8, 8)


def test_images_of_another_size_are_scaled_and_what_is_too_long_is_cut_off_on_both_sides():
    wide = np.zeros((16, 32, 3), dtype=np.uint8)
    wide[:, 8:24] = 255
    assert (COLOUR.inputs(wide) > 0).all()
    assert resized(torch.zeros(2, 3, 100, 50, dtype=torch.uint8), (8, 8)).shape == (2, 3, 8, 8)
    flat = torch.full((1, 3, 37, 53), 77, dtype=torch.uint8)
    assert torch.equal(resized(flat, (8, 8)), torch.full((1, 3, 8, 8), 77, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (IMAGE.astype(np.float32), "floats from 0 to 249 are not possible; images are uint8, or float from 0 to 1"),
        (np.zeros((2, 8, 8, 5), np.uint8), "images of 3, 8, 8 are"),
        (np.zeros(7, np.uint8), "images of 3, 8, 8 are"),
        ("a sentence", "sentences are not possible; the network takes arrays"),
    ],
)
def test_what_cannot_be_an_input_is_refused(image, sentence):
    with pytest.raises(ValueError, match=sentence):
        COLOUR.inputs(image)


def test_sentences_become_ids_of_the_vocabulary_and_unknown_words_have_one_of_their_own():
    words = Preprocessing((5,), vocabulary=("good", "film"))
    first = UNKNOWN_WORD + 1
    assert words.inputs("Good film").tolist() == [[first, first + 1, PADDING, PADDING, PADDING]]
    assert words.inputs(["bad film", "good " * 9]).tolist() == [
        [UNKNOWN_WORD, first + 1, PADDING, PADDING, PADDING],
        [first] * 5,
    ]
    ids = torch.tensor([[2, 3, 0, 0, 0]])
    assert torch.equal(words.inputs(ids), ids)
    assert token_ids([], {}, 5).shape == (0, 5)


@pytest.mark.parametrize(
    "preprocessing", [COLOUR, Preprocessing((5,), vocabulary=("good", "film")), Preprocessing((4,))]
)
def test_it_comes_back_from_json_as_it_was(preprocessing):
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_list_of_grey_images_is_as_many_images_however_many_channels_the_network_takes(number):
    grey = list(np.random.default_rng(0).integers(0, 256, (number, 8, 8), dtype=np.uint8))
    preprocessing = Preprocessing((3, 8, 8), (0.5,) * 3, (0.5,) * 3, pixels=True)
    prepared = preprocessing.inputs(grey)
    assert prepared.shape == (number, 3, 8, 8)
    for image, alone in zip(prepared, grey, strict=True):
        assert torch.equal(image, preprocessing.inputs(alone)[0])


def test_bytes_that_are_no_images_are_numbers_as_they_were_in_training():
    rows = np.random.default_rng(0).integers(0, 256, (6, 3, 20), dtype=np.uint8)
    numbers = Preprocessing((3, 20), mean=(100.0, 120.0, 90.0), std=(50.0, 60.0, 70.0))
    assert torch.equal(numbers.inputs(rows), numbers.inputs(rows.astype(np.float32)))
