"""Print docs/commands.md from the commands themselves: ``python docs/commands.py > docs/commands.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from nni_earlyexit.cli.main import CODES, COMMANDS

HEAD = f"""\
# Commands

Written by `python docs/commands.py > docs/commands.md` from the commands themselves. What `nni-earlyexit COMMAND --help`
says is the same. `nni-earlyexit --install-completion` lets the shell complete names and options.

{CODES}
"""


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command, or the commands that it has."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for word, part in (inner or {}).items():
        yield from leaves(f"{name} {word}", part)


def cell(text: str) -> str:
    """A text in a table."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|").strip()


def tables(command: Any, context: Any) -> Iterator[str]:
    """A table per panel of the help."""
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.params:
        if record := parameter.get_help_record(context):
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
    for panel, records in sorted(panels.items(), key=lambda item: item[0] != "Arguments"):
        yield f"| {cell(panel)} | meaning |\n| --- | --- |"
        for typed, meaning in records:
            # the type of an argument is said by its name
            word = typed if typed.startswith("-") else typed.partition(" ")[0]
            yield f"| `{cell(word.replace(' <bool>', ''))}` | {cell(meaning).replace('<', '&lt;')} |"
        yield ""


def described(name: str, command: Any) -> Iterator[str]:
    """The part of the page that is about one command."""
    context = command.make_context(f"nni-earlyexit {name}", [], resilient_parsing=True)
    text, _, example = (command.help or "").partition("Example: ")
    paragraphs = [re.sub(r"\s+", " ", part).strip() for part in text.split("\n\n")]
    yield f"### {name}\n\n" + "\n\n".join(part for part in paragraphs if part) + "\n"
    usage = " ".join(command.collect_usage_pieces(context))
    shown = f"# for example\n{' '.join(example.split())}\n" if example else ""
    yield f"```\nnni-earlyexit {name} {usage}\n{shown}```\n"
    yield from tables(command, context)


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    panel = ""
    for entry in COMMANDS:
        if entry.panel != panel:
            panel = entry.panel
            lines.append(f"## {panel}\n")
        for name, command in leaves(entry.name, entry.load()):
            lines += described(name, command)
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    print(page())
