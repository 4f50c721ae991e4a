"""Settings that were stored with a trial, whose data may be elsewhere by now."""

from __future__ import annotations

import pytest
from nni_earlyexit.data.loading import load_settings
from nni_earlyexit.training.settings import Settings


@pytest.fixture
def moved(tmp_path):
    """Settings, as a trial stores them, of a folder of images that was moved since."""
    folder = tmp_path / "images"
    folder.mkdir()
    stored = Settings.from_options(data=f"folder:{folder}", epochs=1).to_dict()
    folder.rename(tmp_path / "elsewhere")
    return stored


def test_they_can_be_read_where_the_data_are_not_there_any_more(moved):
    assert Settings.from_dict(moved).to_dict() == moved


def test_the_sentence_comes_when_the_data_are_read(moved):
    with pytest.raises(FileNotFoundError, match="data: there is no folder"):
        load_settings(Settings.from_dict(moved).data, 0)


def test_what_a_user_asks_for_must_be_there_at_once(moved):
    with pytest.raises(FileNotFoundError, match="data: there is no folder"):
        Settings.from_options(data=moved["data"])
