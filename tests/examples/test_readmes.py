"""Every example says what it is for, its command, what comes out, how long that takes, and what to change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and any(path.glob("*.*")))
HEADINGS = ["Command", "Output", "Time", "For your own"]
"""In this order; a time that nobody has measured is left out."""


@pytest.mark.parametrize("name", FOLDERS)
def test_a_readme_answers_the_same_questions(name):
    text = (EXAMPLES / name / "README.md").read_text()
    assert re.match(r"# .+\n\n\S", text)
    given = [line for line in re.findall(r"^## (.+)$", text, flags=re.M) if line in HEADINGS]
    assert given == [heading for heading in HEADINGS if heading != "Time" or heading in given]


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("**/README.md")), ids=lambda file: file.parent.name)
def test_its_links_lead_somewhere(file):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text()):
        assert (file.parent / target).exists(), target


def test_the_table_has_every_example():
    rows = re.findall(r"^\| \[([\w-]+)\]\(\1/README\.md\) ", (EXAMPLES / "README.md").read_text(), flags=re.M)
    assert sorted(rows) == FOLDERS
