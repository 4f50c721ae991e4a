"""Places to cut a model at that nobody has named: its blocks run once, and a stage ends where the resolution changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from nni_earlyexit.nn.inference import probing
from nni_earlyexit.nn.layout import channels_last
from torch import Tensor, nn

STAGES = 4
"""Most stages that are looked for; what comes before the last so many is the stem."""

POOLING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


class _Run(NamedTuple):
    """A module that ran: its name, its type, and the resolution that came out (pixels, or number of tokens)."""

    name: str
    kind: type[nn.Module]
    resolution: tuple[int, ...]


def natural_stages(model: nn.Module, input_shape: tuple[int, ...], name: str) -> list[str]:
    """Names of the modules of ``model`` to cut it after: the stem's end (empty if there is none), then those of the stages.

    Blocks are the model's children, and what lies in its ``nn.Sequential``s and lists. Where the resolution hardly changes, as
    in a vision transformer, the stages have about as many of the most frequent blocks each. ``name`` stands in errors.

    Raises ``ValueError`` when there are fewer than two stages.
    """
    runs = _run(model, input_shape)
    groups = [list(group) for _, group in groupby(runs, key=lambda run: run.resolution)]
    ends = [group[-1].name for group in groups]
    if len(ends) < STAGES - 1:
        largest = max(groups, key=len, default=[])
        kind = Counter(run.kind for run in largest).most_common(1)[0][0] if largest else None
        blocks = [run.name for run in largest if run.kind is kind]
        wanted = min(STAGES, len(blocks))
        ends = [blocks[(i + 1) * len(blocks) // wanted - 1] for i in range(wanted)]
    stem = ends[-STAGES - 1] if len(ends) > STAGES else ""
    if len(ends) < 2:
        raise ValueError(
            f"model: {name} cannot be cut into stages: its resolution says nothing; exits=MODULE,MODULE does"
        )
    return [stem, *ends[-STAGES:]]


def _run(model: nn.Module, input_shape: tuple[int, ...]) -> list[_Run]:
    """The blocks of ``model`` that give images or tokens, in the order in which they end, up to what pools them."""
    runs: list[_Run] = []
    counts: Counter[str] = Counter()
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def ended(_module: nn.Module, _inputs: object, y: object) -> None:
            counts[name] += 1
            if isinstance(module, POOLING):
                runs.append(_Run("", type(module), ()))
            elif isinstance(y, Tensor) and y.dim() in (3, 4):
                shape = tuple(y.shape[1:])
                spatial = shape[:1] if len(shape) == 2 else shape[:2] if channels_last(shape) else shape[1:]
                runs.append(_Run(name, type(module), spatial))

        handles.append(module.register_forward_hook(ended))

    for name, module in _blocks(model):
        watch(name, module)
    try:
        with probing(model):
            model(torch.zeros(1, *input_shape))
    finally:
        for handle in handles:
            handle.remove()
    pooled = next((i for i, run in enumerate(runs) if not run.name), len(runs))
    return [run for run in runs[:pooled] if counts[run.name] == 1]


def _blocks(model: nn.Module, prefix: str = "", inside: bool = True) -> Iterator[tuple[str, nn.Module]]:
    """The children of ``model`` and of what only holds others: lists, sequences, and a child with a long sequence."""
    for key, child in model.named_children():
        name = f"{prefix}{key}"
        long = (_holds_others(part) and len(list(part.children())) >= STAGES for part in child.children())
        if _holds_others(child) or (inside and any(long)):
            yield from _blocks(child, f"{name}.", inside=False)
        else:
            yield name, child


def _holds_others(module: nn.Module) -> bool:
    return type(module) in (nn.Sequential, nn.ModuleList)
