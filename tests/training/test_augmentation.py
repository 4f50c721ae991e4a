from __future__ import annotations

import pytest
import torch
from nni_earlyexit.nn.preprocessing import UNKNOWN_WORD
from nni_earlyexit.nn.tokens import PADDING
from nni_earlyexit.training.augmentation import Augmentation
from nni_earlyexit.training.mixing import Mixing
from nni_earlyexit.training.recipe import Recipe

PLACES = torch.arange(16)


def images(dtype=torch.uint8):
    return (torch.arange(16 * 3 * 8 * 8) % 251).reshape(16, 3, 8, 8).to(dtype)


def changed(x, epoch=0, **options):
    return Augmentation(Recipe(**options).filled(()), len(PLACES))(x, PLACES, epoch)


def test_without_options_images_stay_as_they_are():
    assert Augmentation(Recipe().filled(()), 16).changes_nothing
    assert torch.equal(changed(images()), images())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_shift_moves_an_image_by_at_most_its_share_and_reflects_what_is_missing(dtype):
    torch.manual_seed(0)
    x = images(dtype)
    padded = torch.nn.functional.pad(x.float(), (2, 2, 2, 2), mode="reflect")
    shifted = changed(x, shift=0.25).float()
    offsets = set()
    for image, frame in zip(shifted, padded, strict=True):
        fits = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if torch.equal(image, frame[:, row : row + 8, column : column + 8])
        ]
        assert fits
        offsets.add(fits[0])
    assert len(offsets) > 4


def test_alternating_mirrors_show_each_image_both_ways_in_two_epochs():
    x = images()
    even, odd = changed(x, 0, mirror="alternating"), changed(x, 1, mirror="alternating")
    assert torch.equal(even, odd.flip(3))
    mirrored = (even != x).flatten(1).any(dim=1)
    assert 0 < mirrored.sum() < len(x)
    assert torch.equal(changed(x, 2, mirror="alternating"), even)


def test_random_mirrors_are_drawn_anew():
    x = images()
    first, second = changed(x, 0, mirror="random"), changed(x, 1, mirror="random")
    assert not torch.equal(first, second)
    assert torch.equal(first, changed(x, 0, mirror="random"))
    for image, original in zip(first, x, strict=True):
        assert torch.equal(image, original) or torch.equal(image, original.flip(2))


def test_randaugment_keeps_shape_and_kind():
    torch.manual_seed(0)
    x = images()
    result = changed(x, randaugment=9)
    assert (result.shape, result.dtype) == (x.shape, x.dtype)
    assert not torch.equal(result, x)


def test_hidden_words_are_unknown_ones_and_padding_stays():
    rows = torch.full((16, 50), 7)
    rows[:, 40:] = PADDING
    hidden = changed(rows, word_dropout=0.3)
    assert (hidden[:, 40:] == PADDING).all()
    assert set(hidden[:, :40].unique().tolist()) == {UNKNOWN_WORD, 7}
    assert 0.25 < (hidden[:, :40] == UNKNOWN_WORD).float().mean() < 0.35


def test_sentences_and_other_arrays_are_left_alone_by_what_is_for_images():
    rows = torch.arange(64).reshape(16, 4)
    assert torch.equal(changed(rows, shift=0.5, mirror="random", randaugment=9), rows)
    x, y = Mixing(Recipe(mixup=1.0, erasing=1.0))(rows, PLACES, 16)
    assert torch.equal(x, rows)
    assert torch.equal(y, PLACES)


@pytest.mark.parametrize("options", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}])
def test_mixed_images_have_shares_of_two_classes(options):
    torch.manual_seed(0)
    x, y = Mixing(Recipe(**options))(torch.randn(15, 3, 8, 8), torch.arange(15) % 4, 4)
    assert len(x) == len(y) == 14  # pairs
    torch.testing.assert_close(y.sum(dim=1), torch.ones(14))


def test_erasing_puts_the_mean_in_place_of_a_rectangle():
    torch.manual_seed(0)
    x, _ = Mixing(Recipe(erasing=1.0))(torch.ones(16, 3, 16, 16), PLACES, 16)
    shares = (x == 0).float().mean(dim=(1, 2, 3))
    assert (shares > 0).all()
    assert (shares < 0.5).all()
