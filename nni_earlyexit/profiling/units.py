"""A space taken apart into what always runs as a whole, and the choices between.

A **unit** is a module without choices, with an example of its input. What costs a unit something (parameters, memory,
seconds) is found once per unit; a sample then only adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from nni.mutable import Categorical, Mutable
from nni.nas.nn.pytorch import LayerChoice, MutableModule, Repeat
from nni_earlyexit.nn.inference import probing
from nni_earlyexit.nn.mutables import ABSENT, PRESENT, OptionalExit
from nni_earlyexit.nn.network import EarlyExitNetwork
from torch import Tensor, nn


class Unit(NamedTuple):
    """A module without choices: its name in the space, itself, and an input for it."""

    name: str
    module: nn.Module
    x: Tensor


class Alternatives(NamedTuple):
    """A choice: by the value of its label, the units and choices that run one after another.

    Where the shape of what comes out depends on the choice, ``reshapes`` is ``True``, and the inputs of later units are
    examples for one of its values alone.
    """

    label: str
    cases: Mapping[Any, Sequence[Node]]
    reshapes: bool = False


Node: TypeAlias = "Unit | Alternatives"


class Part(NamedTuple):
    """A stage with the exit branch after it, which may have none; the stem is the first part, without a branch."""

    nodes: Sequence[Node]
    branch: Sequence[Node] | None


def take_apart(network: EarlyExitNetwork, x: Tensor) -> list[Part]:
    """Stem, then stages, of a space's ``network``, ``x`` being an input (batch, *input_shape).

    An optional exit's branch is a :class:`Alternatives` whose absent case is empty. Raises ``TypeError`` for a module whose
    choices are not in layer choices and repeats that follow one another.
    """
    with probing(network):
        nodes, x = _nodes("stem", network.stem, x)
        parts = [Part(nodes, None)]
        for stage, blocks in enumerate(network.stages):
            nodes, x = _nodes(f"stages.{stage}", blocks, x)
            branch = None
            if str(stage) in network.exits:
                branch, _ = _nodes(f"exits.{stage}", network.exits[str(stage)], x)
            parts.append(Part(nodes, branch))
    return parts


def units(parts: Sequence[Part]) -> Iterator[Unit]:
    """Every unit, first to last."""

    def within(nodes: Sequence[Node]) -> Iterator[Unit]:
        for node in nodes:
            if isinstance(node, Unit):
                yield node
            else:
                seen: set[str] = set()
                for case in node.cases.values():
                    for unit in within(case):
                        if unit.name not in seen:  # the cases of a depth share their first blocks
                            seen.add(unit.name)
                            yield unit

    for part in parts:
        yield from within(part.nodes)
        yield from within(part.branch or ())


def check_shapes(parts: Sequence[Part]) -> None:
    """``TypeError`` where a choice changes the shape of what comes out of it, so that later units have no one input."""

    def check(nodes: Sequence[Node]) -> None:
        for node in nodes:
            if isinstance(node, Alternatives):
                if node.reshapes:
                    raise TypeError(f"{node.label}: its choices give different shapes")
                for case in node.cases.values():
                    check(case)

    for part in parts:
        check(part.nodes)
        check(part.branch or ())


def depths(repeat: Repeat) -> tuple[Categorical | None, dict[Any, int]]:
    """The choice that a repeat's depth depends on, and the depth for each of its values; ``None`` for a fixed depth."""
    depth = repeat.depth_choice
    if isinstance(depth, int):
        return None, {None: depth}
    choices = list(depth.simplify().values()) if isinstance(depth, Mutable) else []
    if len(choices) != 1 or not isinstance(choices[0], Categorical):
        raise TypeError(f"Repeat: depth {depth!r} must be a number, a range or an expression of one choice")
    (choice,) = choices
    return choice, {value: depth.freeze({choice.label: value}) for value in choice.values}


def is_fixed(module: nn.Module) -> bool:
    """``True`` if there are no choices in ``module``."""
    return not any(isinstance(child, MutableModule) for child in module.modules())


def _nodes(name: str, module: nn.Module, x: Tensor) -> tuple[list[Node], Tensor]:
    """Units and choices of ``module``, and its output; where shapes could differ between choices, that of the last one."""
    if is_fixed(module):
        return [Unit(name, module, x)], module(x)
    if isinstance(module, LayerChoice):
        cases, shapes = {}, set()
        for key in module.names:
            cases[key], y = _nodes(f"{name}.{key}", module[key], x)
            shapes.add(y.shape)
        return [Alternatives(module.label, cases, len(shapes) > 1)], y
    if isinstance(module, Repeat):
        choice, lengths = depths(module)
        blocks: list[list[Node]] = []
        at_depth = [x.shape]
        for index, block in enumerate(module.blocks):
            nodes, x = _nodes(f"{name}.blocks.{index}", block, x)
            blocks.append(nodes)
            at_depth.append(x.shape)
        prefix: Callable[[int], list[Node]] = lambda depth: [node for nodes in blocks[:depth] for node in nodes]  # noqa: E731
        if choice is None:
            return prefix(lengths[None]), x
        reshapes = len({at_depth[depth] for depth in lengths.values()}) > 1
        return [Alternatives(choice.label, {value: prefix(depth) for value, depth in lengths.items()}, reshapes)], x
    if isinstance(module, OptionalExit):
        nodes, y = _nodes(f"{name}.branch", module.branch, x)
        return [Alternatives(module.presence.label, {PRESENT: nodes, ABSENT: []})], y
    if type(module) is nn.Sequential:
        sequence: list[Node] = []
        for key, child in module._modules.items():  # a module may stand there twice, and then runs twice
            assert child is not None
            nodes, x = _nodes(f"{name}.{key}", child, x)
            sequence += nodes
        return sequence, x
    raise TypeError(
        f"{name}: {type(module).__name__} has choices inside; only layer choices and repeats are taken apart"
    )
