"""The choices in a space's modules, each with what must hold for it to mean anything, and how many networks they make."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from nni.mutable import Categorical, LabeledMutable
from nni.nas.nn.pytorch import LayerChoice, Repeat
from nni_earlyexit.nn.mutables import PRESENT, OptionalExit
from nni_earlyexit.profiling.units import depths
from torch import nn

Condition = tuple[str, frozenset[Any]]
"""A label and the values of it under which something means anything."""


def walk_choices(
    module: nn.Module, above: tuple[Condition, ...]
) -> Iterator[tuple[Categorical, tuple[Condition, ...]]]:
    """Choices in ``module`` and below, each with the conditions under which it means anything."""
    if isinstance(module, LayerChoice):
        yield module.choice, above
        for name in module.names:
            yield from walk_choices(module[name], (*above, (module.choice.label, frozenset([name]))))
    elif isinstance(module, Repeat):
        choice, lengths = depths(module)
        if choice is not None:
            yield choice, above
        for index, block in enumerate(module.blocks):
            reached = frozenset(value for value, depth in lengths.items() if depth > index)
            # a block that is always there depends on nothing
            deeper = choice is None or len(reached) == len(lengths)
            yield from walk_choices(block, above if deeper or choice is None else (*above, (choice.label, reached)))
    elif isinstance(module, OptionalExit):
        yield module.presence, above
        yield from walk_choices(module.branch, (*above, (module.presence.label, frozenset([PRESENT]))))
    else:
        for mutable in getattr(module, "mutables", ()):
            for choice in mutable.leaf_mutables(lambda leaf: isinstance(leaf, LabeledMutable)):
                yield choice, above
        for child in module.children():
            yield from walk_choices(child, above)


def count_networks(module: nn.Module) -> int:
    """Number of distinct networks that ``module`` can become."""
    if isinstance(module, LayerChoice):
        return sum(count_networks(module[name]) for name in module.names)
    if isinstance(module, Repeat):
        _, lengths = depths(module)
        return sum(math.prod(count_networks(block) for block in module.blocks[:depth]) for depth in lengths.values())
    if isinstance(module, OptionalExit):
        return 1 + count_networks(module.branch)
    own = [len(mutable.values) for mutable in getattr(module, "mutables", ())]
    return math.prod([*own, *(count_networks(child) for child in module.children())])
