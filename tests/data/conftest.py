from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """A cache of its own for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NNI_EARLYEXIT_CACHE", str(folder))
    return folder
