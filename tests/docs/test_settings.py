from __future__ import annotations

from pathlib import Path

from nni_earlyexit.cli.settings import tables

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_tables_of_the_documentation_are_those_of_the_settings_themselves():
    assert DOCUMENT.read_text() == tables() + "\n", "write them again with: nni-earlyexit settings > docs/settings.md"
