"""The list of spaces: what is stored is what making the spaces gives."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict

import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.report import space_table
from nni_earlyexit.report.argument_table import common_arguments
from nni_earlyexit.utils.arguments import Argument
from nni_earlyexit.utils.files import read_json

HEAVY = [pytest.param(name, marks=pytest.mark.slow) for name in ("mobilenetv4", "resnet")]


@pytest.mark.parametrize("name", ["digits", "text", *HEAVY])
def test_what_is_stored_is_what_making_the_space_gives(name):
    (stored,) = space_table.entries([name])
    assert stored == space_table.made(name)


def test_every_space_is_stored_with_its_version_arguments_and_examples():
    stored = {entry.name: entry for entry in space_table.entries()}
    assert [entry["name"] for entry in read_json(space_table.STORED, "spaces")] == search_spaces.ready_made()
    for name in search_spaces.ready_made():
        space_class = search_spaces.find(name)
        assert list(stored[name].arguments) == space_class.described_arguments()
        assert len(stored[name].listings) == len(space_class.examples)
        for listing in stored[name].listings:
            assert f"/{space_class.version}" in listing.space


def test_every_argument_has_a_meaning():
    for entry in space_table.entries():
        assert [argument.name for argument in entry.arguments if not argument.meaning] == []


def test_listing_needs_no_torch():
    code = (
        "import sys; from nni_earlyexit.report import space_table; print(len(list(space_table.entries()))); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(search_spaces.names())), "False"]


def test_what_is_not_known_of_a_space_is_left_empty(monkeypatch):
    def not_known(self, sample):
        raise TypeError("s: its choices give different shapes")

    monkeypatch.setattr(search_spaces.find("digits"), "exit_activation_bytes", not_known)
    (listing, *_) = space_table.made("digits").listings
    assert (listing.cells()[-1], listing.values()["most_activation_bytes"]) == ("", None)
    assert listing.params is not None
    assert space_table.Listing.from_dict(asdict(listing)) == listing


def test_a_space_of_another_package_is_made(monkeypatch):
    class Other(search_spaces.find("digits")):
        """Of another package."""

        name = "other"
        examples = ({"num_classes": 3},)

    monkeypatch.setitem(sys.modules, "other_space", type(sys)("other_space"))
    sys.modules["other_space"].Space = Other
    monkeypatch.setattr(search_spaces, "installed", lambda: {"other": "other_space"})
    assert "other" in search_spaces.names()
    (entry,) = space_table.entries(["other"])
    assert entry.listings[0].space == "other/2 num_classes=3"


def test_an_unknown_space_has_the_nearest_name():
    with pytest.raises(ValueError, match="space: 'digit' is unknown; did you mean 'digits'?"):
        list(space_table.entries(["digit"]))


def test_arguments_that_all_spaces_have_are_those_of_exits():
    entries = [entry.arguments for entry in space_table.entries()]
    common = common_arguments(entries)
    assert common[0] == Argument("max_exits", "", "Most exits, the last one not counted; None for no limit")
    assert "num_classes" not in [argument.name for argument in common]
    assert common_arguments(entries[:1]) == []
