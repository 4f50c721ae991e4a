"""The API reference: a page per wing with the docstrings of its public names, which its ``__init__.pyi`` lists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PACKAGE = "nni_earlyexit"
BESIDE = ("search_spaces", "strategies")
ROLE = re.compile(r":(?:py:)?(?:func|class|mod|meth|attr|data|exc):(?=<code>)")


def public_names(stub: Path) -> dict[str, str]:
    """Each public name of a stub and the full name of what it stands for."""
    package = ".".join(stub.parent.relative_to(ROOT).parts)
    imports = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or alias.name: ".".join(filter(None, (package, node.module, alias.name)))
        for node in imports
        for alias in node.names
    }


def wings() -> dict[str, dict[str, str]]:
    """The wings that have public names, and those."""
    return {stub.parent.name: public_names(stub) for stub in sorted((ROOT / PACKAGE).glob("*/__init__.pyi"))}


def said(init: Path) -> str:
    """The docstring of a package."""
    return ast.get_docstring(ast.parse(init.read_text())) or ""


def wing_page(wing: str, names: dict[str, str]) -> str:
    """Its docstring, and each name's."""
    head = f"# {PACKAGE}.{wing}\n\n{said(ROOT / PACKAGE / wing / '__init__.py')}\n\n"
    return head + "\n\n".join(f"::: {place}" for place in names.values()) + "\n"


def beside_page(package: str) -> str:
    """A package that lies at the top of the repository."""
    return f"# {PACKAGE}.{package}\n\n::: {package}\n    options:\n      show_root_heading: false\n"


def index_page() -> str:
    """The names that ``from nni_earlyexit import ...`` gives, and the wings."""
    lines = [
        f"# {PACKAGE}",
        "",
        said(ROOT / PACKAGE / "__init__.py"),
        "",
        "| name | where it is described |",
        "| --- | --- |",
    ]
    for name, place in public_names(ROOT / PACKAGE / "__init__.pyi").items():
        if name in BESIDE:
            lines.append(f"| [`{name}`]({name}.md) | `{PACKAGE}.{name}` |")
            continue
        wing = place.split(".")[1]
        target = wings()[wing][name]
        lines.append(f"| [`{name}`][{target}] | [`{PACKAGE}.{wing}`]({wing}.md) |")
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Every page of the reference, by its name."""
    written = {"index": index_page()}
    written |= {name: beside_page(name) for name in BESIDE}
    return written | {wing: wing_page(wing, names) for wing, names in wings().items()}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages into the navigation, where mkdocs.yml says ``Python``."""
    for item in config.nav or []:
        if isinstance(item, dict) and "Python" in item:
            item["Python"] = ["api/index.md", *({name: f"api/{name}.md"} for name in pages() if name != "index")]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, text in pages().items():
        files.append(File.generated(config, f"api/{name}.md", content=text))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Docstrings mark a name as Sphinx does; here it is code."""
    return ROLE.sub("", html)
