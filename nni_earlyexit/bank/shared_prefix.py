"""What every exit branch of a stage begins with and has nothing to learn in: its pooling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from nni.nas.nn.pytorch import MutableModule, Repeat
from nni_earlyexit.nn.mutables import OptionalExit
from nni_earlyexit.profiling.units import depths
from torch import nn


def shared_prefix(exit: nn.Module) -> nn.Sequential:
    """The modules without weights that every branch of ``exit``, the exit of a space, begins with."""
    shared = []
    for module in _always_there(exit):
        if module is None or any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
            break
        shared.append(module)
    return nn.Sequential(*shared)


def split(branch: nn.Module, prefix: nn.Sequential) -> nn.Sequential:
    """The modules of ``branch``, one of an exit with this shared ``prefix``, that follow it; weights are shared with it."""
    modules = list(_in_turn(branch))
    own = nn.Sequential(*modules[: len(prefix)])
    if repr(own) != repr(prefix):
        raise ValueError(f"bank: a branch begins with {own}, not with {prefix} as the others of its stage")
    return nn.Sequential(*modules[len(prefix) :])


def _blocks(repeat: Repeat) -> list[nn.Module]:
    return list(cast(nn.ModuleList, repeat.blocks))


def _always_there(module: nn.Module) -> Iterator[nn.Module | None]:
    """The modules that run first whatever is chosen, one after another; ``None`` where a choice begins."""
    if type(module) is OptionalExit:
        yield from _always_there(module.branch)
    elif type(module) is nn.Sequential:
        for child in module:
            yield from _always_there(child)
    elif isinstance(module, Repeat):
        choice, lengths = depths(module)
        for block in _blocks(module)[: min(lengths.values())]:
            yield from _always_there(block)
        if choice is not None:
            yield None
    elif isinstance(module, MutableModule) and module.mutables:
        yield None
    else:
        yield module


def _in_turn(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that run one after another; an ``nn.Sequential`` is its members."""
    if type(module) is nn.Sequential or isinstance(module, Repeat):
        for child in _blocks(module) if isinstance(module, Repeat) else module:
            yield from _in_turn(child)
    else:
        yield module
