"""Pages link to files beside docs/, as a reader of the repository needs it; here these files become part of the site.

Pages in Markdown stay pages, pictures stay pictures, and every other text is shown as code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FOLDER = "repository"
PICTURES = {".png", ".svg", ".jpg"}
LANGUAGES = {".yml": "yaml", ".json": "json", ".js": "javascript", ".py": "python", ".html": "html", ".sh": "bash"}
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)((?:#[^)\s]*)?\))")
FENCED = re.compile(r"^ *```.*?^ *```", flags=re.M | re.S)


def outside(text: str) -> str:
    """A page without its code, in which brackets are no links."""
    return FENCED.sub("", text)


def in_site(path: Path) -> str:
    """The name that a file of the repository has among the sources of the site."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    name = f"{FOLDER}/{path.relative_to(ROOT).as_posix()}"
    return name if path.suffix in PICTURES | {".md"} else name + ".md"


def linked(page: Path) -> Iterator[Path]:
    """The files of the repository that a page links to."""
    for _, target, _ in LINK.findall(outside(page.read_text())):
        path = Path(os.path.normpath(page.parent / target))
        if path.is_file():
            yield path


def beside(pages: list[Path]) -> set[Path]:
    """All files outside of docs/ that can be reached from ``pages``."""
    reached: set[Path] = set()
    waiting = list(pages)
    while waiting:
        page = waiting.pop()
        for path in linked(page):
            if path in reached or path.is_relative_to(DOCS):
                continue
            reached.add(path)
            if path.suffix == ".md":
                waiting.append(path)
    return reached


def as_page(path: Path) -> str:
    """A text of the repository, to be read."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text()
    fence = "~~~~"
    return f"# {path.name}\n\n`{name}`\n\n{fence}{LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n{fence}\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages link to."""
    pages = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    for path in sorted(beside([page for page in pages if page.is_relative_to(DOCS)])):
        name = in_site(path)
        if path.suffix in PICTURES | {".md"}:
            file = File.generated(config, name, abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV)
        else:
            file = File.generated(config, name, content=as_page(path), inclusion=InclusionLevel.NOT_IN_NAV)
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let the page's links lead to the site's copies."""
    here = page.file.src_uri
    source = ROOT / here.removeprefix(f"{FOLDER}/") if here.startswith(f"{FOLDER}/") else DOCS / here

    def moved(link: re.Match[str]) -> str:
        path = Path(os.path.normpath(source.parent / link[2]))
        if not path.is_file():
            return link[0]
        return link[1] + os.path.relpath(in_site(path), os.path.dirname(here) or ".") + link[3]

    # code stays as it is
    parts = re.split(r"(^ *```.*?^ *```)", markdown, flags=re.M | re.S)
    return "".join(part if i % 2 else LINK.sub(moved, part) for i, part in enumerate(parts))
