"""The part of an exit branch that every branch of its stage begins with, and that has nothing to learn: its pooling."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def split(branch: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """The modules that ``branch`` begins with and that have no weights, and the others, which it shares its weights with."""
    modules = list(_in_turn(branch))
    first = next((i for i, module in enumerate(modules) if _holds_something(module)), len(modules))
    return nn.Sequential(*modules[:first]), nn.Sequential(*modules[first:])


def _in_turn(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that run one after another; an ``nn.Sequential`` is its members."""
    if type(module) is nn.Sequential:
        for child in module:
            yield from _in_turn(child)
    else:
        yield module


def _holds_something(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())
