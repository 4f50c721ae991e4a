"""The structure of the package as its imports draw it: ``python tests/imports.py``.

A floor is one more than the highest floor that a file imports from. A circle is a set of files that import each other. An
arrow runs back when a file imports one of a wing that may not be known there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "nni_earlyexit"
BESIDE = ("search_spaces", "strategies")

GROUND = [
    "thresholds",
    "search",
    "strategies",
    "nn",
    "profiling",
    "space",
    "search_spaces",
    "data",
    "training",
    "bank",
    "supernet",
]
BELOW: Mapping[str, list[str]] = {
    "utils": [],
    "thresholds": [],
    "search": ["thresholds"],
    "strategies": ["search"],
    "nn": ["thresholds"],
    "profiling": ["nn"],
    "space": ["nn", "profiling", "search"],
    "search_spaces": ["nn", "space"],
    "data": ["nn"],
    "training": ["data", "nn", "search", "thresholds"],
    "bank": ["thresholds", "search", "strategies", "nn", "profiling", "space", "search_spaces", "data", "training"],
    "supernet": ["thresholds", "search", "nn", "space", "search_spaces", "data", "training"],
    "evaluation": ["thresholds", "search", "nn", "space", "search_spaces", "data", "training", "bank", "supernet"],
    "integration": [*GROUND, "evaluation"],
    "runtime": ["thresholds"],
    "deploy": [*GROUND, "evaluation", "runtime"],
    "report": ["thresholds", "search", "strategies", "nn", "space", "search_spaces", "data", "evaluation", "deploy"],
    "experiment": [*GROUND, "evaluation", "integration", "report"],
    "trial": [*GROUND, "evaluation", "integration"],
    "cli": [*GROUND, "evaluation", "integration", "report", "experiment", "runtime", "deploy"],
}
"""The wings that each wing may import, beside itself and ``utils``, which is open to all."""

DOORS = {("nni_earlyexit.nn.network", "nni_earlyexit.evaluation.record")}
"""Imports inside one function that may run back: the way from a class to the files that it was stored in."""

LIGHT = {
    "utils": (),
    "thresholds": (),
    "search": (),
    "strategies": (),
    "integration": ("tuner", "tuner_arguments", "assessor", "trial_arguments", "rest", "nni_private"),
    "runtime": (),
    "cli": (),
    "trial": (),
}
"""Wings, or files of them, that import without torch."""


def files(root: Path = ROOT) -> dict[str, Path]:
    """Every file of the package by its module's name."""
    paths = [*(root / PACKAGE).rglob("*.py"), *(path for name in BESIDE for path in (root / name).rglob("*.py"))]
    return {_module(path.relative_to(root)): path for path in paths}


def _module(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    parts = parts if parts[0] == PACKAGE else [PACKAGE, *parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def wing(module: str) -> str:
    """The wing of a module; empty for what lies outside of all."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in BELOW else ""


def imported(tree: ast.AST, modules: Mapping[str, Path], typing_only: bool = True) -> Iterator[str]:
    """The modules of the package that a file imports, at its top or inside functions, for types too if ``typing_only``."""
    for node in ast.iter_child_nodes(tree):
        if not typing_only and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        yield from imported(node, modules, typing_only)


def arrows(root: Path = ROOT, typing_only: bool = True) -> dict[str, set[str]]:
    """The modules that each module imports, without itself."""
    modules = files(root)
    return {
        module: {
            other
            for other in imported(ast.parse(path.read_text()), modules, typing_only)
            if other not in (module, PACKAGE) and (module, other) not in DOORS
        }
        for module, path in modules.items()
    }


def running_back(drawn: Mapping[str, set[str]]) -> list[str]:
    """The imports that the order of the wings forbids, as sentences."""
    return [
        f"{module} imports {other}, and {wing(module)} may import {', '.join(BELOW[wing(module)]) or 'nothing'} and utils"
        for module, others in sorted(drawn.items())
        for other in sorted(others)
        if wing(module) and wing(other) not in ("", "utils", wing(module), *BELOW[wing(module)])
    ]


def circles(drawn: Mapping[str, set[str]]) -> list[list[str]]:
    """The sets of modules that import each other, at the top or inside functions (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    result: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(drawn.get(module, ())):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            members = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(members) > 1:
                result.append(sorted(members))

    for module in sorted(drawn):
        if module not in index:
            visit(module)
    return result


def floors(drawn: Mapping[str, set[str]]) -> dict[str, int]:
    """The floor of each module, 1 for those that import none of the package; a circle shares a floor."""
    together = {module: tuple(members) for members in circles(drawn) for module in members}
    floor: dict[str, int] = {}

    def of_module(module: str) -> int:
        if module not in floor:
            members = together.get(module, (module,))
            floor.update(dict.fromkeys(members, 0))
            below = {other for member in members for other in drawn.get(member, ()) if other not in members}
            floor.update(dict.fromkeys(members, 1 + max(map(of_module, below), default=0)))
        return floor[module]

    for module in drawn:
        of_module(module)
    return floor


def wing_floors(drawn: Mapping[str, set[str]]) -> dict[str, int]:
    """The floor of each wing, seen as one room."""
    rooms: dict[str, set[str]] = {}
    for module, others in drawn.items():
        if wing(module):
            rooms.setdefault(wing(module), set()).update(wing(other) for other in others)
    return floors({room: others - {room, ""} for room, others in rooms.items()})


def main() -> None:
    """Print the counts, and the wings from the ground up with their files."""
    drawn = arrows()
    number = sum(map(len, drawn.values()))
    print(f"{len(drawn)} files on {max(floors(drawn).values())} floors, {number} arrows")
    print(f"{len(circles(drawn))} circles, {len(running_back(drawn))} arrows that run back")
    for name, floor in sorted(wing_floors(drawn).items(), key=lambda item: item[1]):
        inside = {module: others for module, others in drawn.items() if wing(module) == name}
        within = floors({module: {other for other in others if other in inside} for module, others in inside.items()})
        print(f"wing floor {floor:2}: {name}, {len(inside)} files on {max(within.values())} floors")
    for line in [*map(" <-> ".join, circles(drawn)), *running_back(drawn)]:
        print(line)


if __name__ == "__main__":
    main()
