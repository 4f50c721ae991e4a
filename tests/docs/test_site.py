"""The documentation's site is whole: built without a warning, in need of no other site, and its links lead somewhere."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Parts(HTMLParser):
    """Anchors of a page, where it leads, and what a browser loads for it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if "src" in given:
            self.loaded.append(given["src"])
        if tag == "link":
            self.loaded.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # Material's announcement of another generator says nothing about this site
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Parts]:
    read = {page: Parts(page) for page in site.rglob("*.html") if page.name != "404.html"}
    assert len(read) > 40
    return read


def test_a_reader_offline_sees_all_of_it(pages):
    from_elsewhere = [(page.name, url) for page, parts in pages.items() for url in parts.loaded if urlsplit(url).netloc]
    assert from_elsewhere == []


def test_its_links_and_their_anchors_are_there(site, pages):
    wrong = []
    for page, parts in pages.items():
        for url in parts.links + parts.loaded:
            there = urlsplit(url)
            if there.scheme or there.netloc:
                continue
            target = (page.parent / unquote(there.path)).resolve() if there.path else page
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(there.fragment)
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].anchors):
                wrong.append(f"{page.relative_to(site)}: {url}")
    assert wrong == []


def test_every_public_name_is_described(site, pages):
    """What a stub hands on has a heading of its own on the page of its wing."""
    missing = []
    for stub in (ROOT / "nni_earlyexit").glob("*/__init__.pyi"):
        wing = stub.parent.name
        anchors = pages[site / "api" / f"{wing}.html"].anchors
        for node in ast.parse(stub.read_text()).body:
            assert isinstance(node, ast.ImportFrom)
            place = ".".join(filter(None, ("nni_earlyexit", wing, node.module)))
            missing += [f"{place}.{name.name}" for name in node.names if f"{place}.{name.name}" not in anchors]
    assert missing == []


def test_pages_stand_where_others_say(site):
    for page in ("index", "start/nni-user", "start/data-only", "start/trained-network", "glossary", "commands"):
        assert (site / f"{page}.html").is_file(), page
