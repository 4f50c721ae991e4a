"""Which modules a name of a search space may import."""

from __future__ import annotations

import sys

import pytest
from nni_earlyexit import search_spaces

MODULE = """
from nni_earlyexit.search_spaces import digits

class Space(digits.Space):
    name = {name!r}
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that nothing has imported yet, with a space of its ``name``; and what makes a package of it offer the space."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(search_spaces, "_allowed", set())
    (tmp_path / "offered").mkdir()

    def write(name="offered.space", entry_point=False):
        (tmp_path / "offered" / "space.py").write_text(MODULE.format(name=name))
        if entry_point:
            metadata = tmp_path / "offered-1.dist-info"
            metadata.mkdir()
            (metadata / "METADATA").write_text("Name: offered\nVersion: 1\n")
            (metadata / "entry_points.txt").write_text(f"[{search_spaces.GROUP}]\n{name} = offered.space\n")
        return name

    yield write
    for imported in ("offered", "offered.space"):
        sys.modules.pop(imported, None)


def test_what_the_user_names_is_imported(module):
    name = module()
    assert search_spaces.create(name).identity() == "offered.space/2"


def test_what_a_stored_file_names_is_not(module):
    name = module()
    with pytest.raises(
        ValueError, match="'offered.space' is a Python module, which .* with --allow-space offered.space"
    ):
        search_spaces.restore(f"{name}/2")
    assert "offered.space" not in sys.modules


def test_unless_the_user_allows_it(module):
    name = module()
    search_spaces.allow(name)
    assert search_spaces.restore(f"{name}/2").identity() == "offered.space/2"


def test_or_it_has_been_imported_before_so_that_nothing_runs(module):
    name = module()
    search_spaces.create(name)
    assert search_spaces.restore(f"{name}/2").identity() == "offered.space/2"


@pytest.mark.parametrize("name", ["offered.space", "short"])
def test_or_an_installed_package_offers_it(module, name):
    module(name, entry_point=True)
    assert name in search_spaces.names()
    assert search_spaces.restore(f"{name}/2").identity() == f"{name}/2"


def test_ready_made_spaces_need_no_permission():
    for name in search_spaces.ready_made():
        search_spaces.check_allowed(name)


def test_a_class_of_another_name_is_refused(module):
    module("other.name")
    with pytest.raises(
        ValueError, match="Space of 'offered.space' calls itself 'other.name'; it must be 'offered.space'"
    ):
        search_spaces.create("offered.space")
