from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit import data, search_spaces
from nni_earlyexit.data import DataSettings
from nni_earlyexit.data.outline import outline
from nni_earlyexit.evaluation.space_for_data import space_for_data
from PIL import Image


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of several sizes in three classes."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for label in "abc":
        (folder / label).mkdir()
        for i in range(12):
            size = (40 + 2 * i, 60, 3)
            Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / label / f"{i}.jpg")
    return DataSettings(f"folder:{folder}")


def test_resolution_and_classes_follow_the_images(photos):
    space = space_for_data("mobilenetv3", photos)
    assert (space.input_shape, space.num_classes) == ((3, 48, 48), 3)
    assert space_for_data("mobilenetv3 halvings=5", photos).input_shape == (3, 64, 64)


def test_what_is_given_is_kept(photos):
    space = space_for_data("resnet channels=16 resolution=32 num_classes=7", photos)
    assert (space.input_shape, space.num_classes) == ((3, 32, 32), 7)
    wanted = DataSettings(photos.source, (3, 96, 96))
    assert space_for_data("resnet", wanted).input_shape == (3, 96, 96)


def test_a_space_of_one_size_stays_as_it_is():
    assert space_for_data("digits", DataSettings()).identity() == space_for_data("digits/2", DataSettings()).identity()


def test_rows_of_real_numbers_are_no_sentences_and_ids_beyond_the_vocabulary_are_said(tmp_path):
    rng, y = np.random.default_rng(0), np.arange(60) % 2
    np.savez(tmp_path / "table.npz", x=rng.random((60, 30)), y=y)
    table = DataSettings(f"npz:{tmp_path / 'table.npz'}")
    assert outline(table).tokens is None
    text = search_spaces.create("text", tokens=30, vocabulary=100)
    with pytest.raises(ValueError, match="has rows of real numbers, the network takes token ids, integers from 0"):
        data.check_fits(data.load_settings(table, 0), text)
    np.savez(tmp_path / "ids.npz", x=rng.integers(0, 100, (60, 30)), y=y)
    ids = DataSettings(f"npz:{tmp_path / 'ids.npz'}")
    assert outline(ids).tokens == 30
    data.check_fits(data.load_settings(ids, 0), text)
    with pytest.raises(ValueError, match="^vocabulary: 50 is not possible; with the token ids of .*, 100 is"):
        data.check_fits(data.load_settings(ids, 0), search_spaces.create("text", tokens=30, vocabulary=50))


def test_sentences_decide_tokens_and_vocabulary(tmp_path):
    lines = [f"good film number {i}\t{i % 2}" for i in range(60)]
    (tmp_path / "films.tsv").write_text("\n".join(lines) + "\n")
    space = space_for_data("text", DataSettings(f"tsv:{tmp_path / 'films.tsv'}", tokens=12, vocabulary=100))
    assert space.input_shape == (12,)
    shorter = DataSettings(f"tsv:{tmp_path / 'films.tsv'}", (7,), vocabulary=100)
    assert space_for_data("text", shorter).input_shape == (7,)
    assert space.arguments["vocabulary"] == 100
