from __future__ import annotations

import numpy as np
import pytest
import torch
from nni_earlyexit import data
from nni_earlyexit.data.settings import UNSPLIT, DataSettings
from nni_earlyexit.data.sources import npz
from nni_earlyexit.data.splits import cut
from sklearn.datasets import load_digits

PARTS = ("train", "validation", "calibration", "test")


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def split(name, x, y):
    return cut(name, npz.from_arrays(name, {"x": x, "y": y}), DataSettings(), seed=0)


def rows(split):
    return [tuple(row) for row in split.x.flatten(1).round(decimals=3).tolist()]


def test_the_four_splits_share_no_input_and_hold_all_of_them(digits):
    x = np.arange(400.0).reshape(400, 1)
    own = split("own", x, np.arange(400) % 4)
    found = [set(getattr(own, part).x.flatten().tolist()) for part in PARTS]
    assert sum(map(len, found)) == len(set.union(*found)) == 400
    assert sum(len(getattr(digits, part)) for part in PARTS) == len(load_digits().target)


def test_a_part_of_a_split_has_its_inputs_and_classes(digits):
    part = digits.train.part(slice(1, None, 7))
    assert len(part) == len(part.y) == len(range(1, len(digits.train), 7))
    assert torch.equal(part.x, digits.train.x[1::7])
    assert torch.equal(part.y, digits.train.y[1::7])


def test_every_split_holds_the_same_share_of_each_class(digits):
    counts = np.array([np.bincount(getattr(digits, part).y, minlength=10) for part in PARTS])
    shares = counts / counts.sum(axis=0)
    expected = np.array([0.55, *UNSPLIT.values()])[:, None]
    assert np.abs(shares - expected).max() < 0.02


def test_the_seed_fixes_the_splits(digits):
    again, other = data.load("digits"), data.load("digits", seed=1)
    for part in PARTS:
        assert torch.equal(getattr(again, part).x, getattr(digits, part).x)
        assert rows(getattr(other, part)) != rows(getattr(digits, part))


def test_only_the_training_split_decides_the_normalisation():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 2, 3, 3)), np.arange(200) % 2
    plain = split("plain", x, y)
    assert plain.train.x.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (plain.train.x.std(dim=(0, 2, 3)) - 1).abs().max() < 0.01
    # the same inputs, with the test split moved far away
    moved = x.copy()
    is_test = np.isin(np.arange(200), [i for i in range(200) if in_split(x[i], plain.test)])
    moved[is_test] += 100
    assert torch.allclose(split("moved", moved, y).train.x, plain.train.x)


def test_images_are_resized_and_grey_ones_repeated():
    small, large = data.load("digits"), data.load("digits", input_shape=(3, 32, 32))
    assert large.input_shape == (3, 32, 32)
    assert torch.equal(large.test.y, small.test.y)
    assert torch.allclose(large.test.x[:, 0], large.test.x[:, 2])
    # the same images: shrunk again they are what they were, up to blur
    again = torch.nn.functional.avg_pool2d(large.test.x[:, :1], 4).flatten(1)
    correlation = torch.corrcoef(torch.stack([again[0], small.test.x[0].flatten()]))[0, 1]
    assert correlation > 0.95


def test_rows_of_integers_are_token_ids_and_stay_as_they_are(tmp_path):
    x, y = np.arange(400).reshape(100, 4) % 50, np.arange(100) % 2
    np.savez(tmp_path / "words.npz", x=x, y=y)
    words = data.load(str(tmp_path / "words.npz"))
    assert words.train.x.dtype == torch.int64
    assert {tuple(row) for part in PARTS for row in getattr(words, part).x.tolist()} == {
        tuple(row) for row in x.tolist()
    }


@pytest.mark.parametrize("shape", [(2, 8, 8), (8,)])
def test_inputs_that_cannot_be_made_that_shape_are_refused(shape, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((40, 3, 4, 4)), y=np.arange(40) % 2)
    with pytest.raises(ValueError, match=r"input_shape: inputs \(3, 4, 4\) of .* cannot be made"):
        data.load(str(tmp_path / "x.npz"), input_shape=shape)


def in_split(image, split):
    """Whether ``image`` (raw) is in ``split`` (normalised): images are told apart by their order of pixels."""
    order = np.argsort(image.ravel()[:9])
    return any((np.argsort(other.flatten()[:9].numpy()) == order).all() for other in split.x)


def test_own_arrays_are_read_without_pickles(tmp_path):
    file = tmp_path / "own.npz"
    np.savez(file, x=np.random.default_rng(0).normal(size=(60, 3, 4, 4)), y=np.arange(60) % 2)
    own = data.load(str(file))
    assert (own.input_shape, own.num_classes) == ((3, 4, 4), 2)
    np.savez(file, x=np.array([object()] * 60, dtype=object), y=np.arange(60) % 2)
    with pytest.raises(ValueError, match="pickle"):
        data.load(str(file))


GOOD = np.zeros((40, 1, 4, 4))


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (GOOD, np.zeros(40, int), "has 1 class; at least 2 are needed"),
        (np.full_like(GOOD, np.nan), np.arange(40) % 2, "x holds NaN or infinite values"),
        (np.full_like(GOOD, np.inf), np.arange(40) % 2, "x holds NaN or infinite values"),
        (GOOD, np.arange(40) % 2 + 1, "y runs from 1 to 2 with 2 different classes; they must be 0 to 1"),
        (GOOD, np.arange(40) % 2 * 5, "y runs from 0 to 5 with 2 different classes"),
        (GOOD, np.arange(40) % 2 - 1, "y runs from -1 to 0"),
        (GOOD, (np.arange(40) % 2).astype(float), "y is float64; classes must be integers from 0"),
        (GOOD, np.arange(39) % 2, r"y \(39,\)"),
        (GOOD, (np.arange(40) % 2).astype("m8[s]"), r"y is timedelta64\[s\]; classes must be integers from 0"),
        (GOOD, (np.arange(40) % 2).astype(complex), "y is complex128; classes must be integers from 0"),
        (GOOD.astype(complex), np.arange(40) % 2, "x is complex128; inputs must be real numbers"),
        (GOOD[:, :0], np.arange(40) % 2, "so that there is nothing in an input"),
        (GOOD + 1e300 * np.arange(40)[:, None, None, None], np.arange(40) % 2, "too far to be normalised"),
        (np.full((40, 3), -1), np.arange(40) % 2, "x holds -1; rows of integers are token ids, which are from 0"),
        (GOOD, np.arange(40) // 35, "class 1 has 5 inputs to be split, none of them for"),
    ],
)
def test_bad_data_get_one_sentence(x, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        split("own", x, y)


def test_test_classes_that_are_kept_secret_are_named(tmp_path):
    y = np.arange(40) % 2
    np.savez(tmp_path / "x.npz", x_train=GOOD, y_train=y, x_test=GOOD, y_test=np.full(40, -1))
    with pytest.raises(ValueError, match="y_test holds class -1; classes are integers from 0"):
        data.load(f"npz:{tmp_path / 'x.npz'}")


def test_a_home_may_be_written_short(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", x=GOOD, y=np.arange(40) % 2)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.load("npz:~/x.npz").num_classes == 2


def test_shares_are_of_what_the_data_leave_to_be_split(tmp_path):
    y = np.arange(40) % 2
    np.savez(tmp_path / "x.npz", x_train=GOOD, y_train=y, x_test=GOOD, y_test=y)
    source = f"npz:{tmp_path / 'x.npz'}"
    cut = data.load(source, validation_share=0.5, calibration_share=0.3)
    assert (len(cut.train), len(cut.test)) == (8, 40)
    assert len(data.load(source, test_share=0.2).test) == 40
    (note,) = data.load(source, test_share=0.2).notes
    assert note == f"test_share changes nothing: {source!r} has a test split of its own"
    for shares in ({"validation_share": 0.5, "calibration_share": 0.3}, {"validation_share": 0.6, "test_share": 0.4}):
        with pytest.raises(ValueError, match="^validation_share: 0.[56] leaves nothing to train with beside the other"):
            data.load("digits", **shares)


def test_sentences_take_one_number_of_words(tmp_path):
    lines = "\n".join(f"{'good' if number % 2 else 'bad'} {number}\t{number % 2}" for number in range(40))
    (tmp_path / "s.tsv").write_text(f"sentence\tlabel\n{lines}\n")
    with pytest.raises(ValueError, match=r"^input_shape: \[3, 8, 8\] is not possible for sentences; one number"):
        data.load(f"tsv:{tmp_path / 's.tsv'}", input_shape=(3, 8, 8))


def test_a_file_that_is_missing_or_lacks_an_array_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data: there is no file '.*none.npz'"):
        data.load(str(tmp_path / "none.npz"))
    np.savez(tmp_path / "half.npz", x=GOOD)
    with pytest.raises(ValueError, match="lacks the array 'y'"):
        data.load(str(tmp_path / "half.npz"))


def test_a_part_needs_one_input_of_each_class():
    with pytest.raises(ValueError, match="most_inputs: 8 is not possible for 10 classes"):
        data.load("digits", most_inputs=8)


def test_a_part_of_the_data_holds_every_class_alike_and_is_always_the_same():
    part, again = (data.load("digits", most_inputs=50) for _ in range(2))
    for name in PARTS:
        split = getattr(part, name)
        assert np.bincount(split.y, minlength=10).tolist() == [5] * 10
        assert torch.equal(split.x, getattr(again, name).x)
    assert {tuple(row) for row in part.train.positions[:, None].tolist()} <= {
        tuple(row) for row in data.load("digits").train.positions[:, None].tolist()
    }
