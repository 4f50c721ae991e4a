"""Every command line that a page shows can be typed: its command is there, and its options and their values are possible."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import command_line
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
    if command_line.lines(page.read_text()) and page.name != "commands.md"  # which is printed by the commands
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_of_a_page_can_be_typed(page):
    for line in command_line.lines(page.read_text()):
        command_line.check_line(line)


@pytest.mark.parametrize(
    "line", ["nni-earlyexit front ID --nonsense", "nni-earlyexit fronts ID", "nni-earlyexit run a b"]
)
def test_a_line_that_cannot_be_typed_is_found(line):
    with pytest.raises(Exception, match="nonsense|fronts|extra"):
        command_line.check_line(line)


def test_the_page_of_all_commands_is_that_of_the_commands_themselves():
    written = subprocess.run(
        [sys.executable, ROOT / "docs" / "commands.py"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    page = (ROOT / "docs" / "commands.md").read_text()
    assert page == written, "write it again with: python docs/commands.py > docs/commands.md"
