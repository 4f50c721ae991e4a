"""Any model cut into stages at modules that are named, its weights kept.

The model's own ``forward`` is traced with ``torch.fx`` as far as the named modules, which stay whole. What lies between two of
them becomes a stage, so that the stages one after another do exactly what the model does.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from nni_earlyexit.nn.fixed_stage import FixedStage
from nni_earlyexit.nn.inference import probing
from torch import Tensor, fx, nn


@dataclass(frozen=True)
class StagedModel:
    """A model taken apart.

    Attributes
    ----------
    stem, stages, head
        Pieces that are the model, one after another.
    input_shape, num_classes
        Shape of one input and number of classes of the model.
    """

    stem: FixedStage
    stages: list[FixedStage]
    head: FixedStage
    input_shape: tuple[int, ...]
    num_classes: int

    def copy(self) -> StagedModel:
        """The same with weights of its own."""
        return copy.deepcopy(self)

    def freeze(self, but: Sequence[str] = ()) -> None:
        """Let it learn nothing from now on, ``but`` the modules of these names."""
        for piece in (self.stem, *self.stages, self.head):
            piece.freeze(but)


def cut(
    model: nn.Module, modules: Sequence[str], input_shape: tuple[int, ...], name: str, *, headless: bool = False
) -> StagedModel:
    """Cut ``model``, in evaluation mode, after each of ``modules``: the first ends the stem, the others end the stages.

    An empty first name: the stem does nothing. What follows the last module is the head, or, ``headless``, one more stage
    whose head does nothing. ``name`` stands in errors.

    Raises ``ValueError`` when more than one tensor goes from a stage to the next, when the model gives no logits, or when it
    does not take inputs of this shape.
    """
    x = torch.zeros(1, *input_shape)
    with probing(model):
        check_runs(model, x, name)
        taken: list[FixedStage] = []
        for piece in [*_pieces(model, modules, name), *([nn.Identity()] if headless else [])]:
            y = piece(x)
            if not isinstance(y, Tensor):
                raise ValueError(f"model: {name} cannot be cut into stages: a stage gives more than one tensor")
            taken.append(FixedStage(piece, x.shape[1:], y.shape[1:]))
            x = y
    stem, *stages, head = taken
    return StagedModel(stem, stages, head, input_shape=input_shape, num_classes=x.shape[1])


def check_runs(model: nn.Module, x: Tensor, name: str) -> None:
    """``ValueError`` unless ``model``, in evaluation mode, makes logits (batch, classes) of the inputs ``x``."""
    try:
        logits = model(x)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:150]
        size = "x".join(map(str, x.shape[2:] if x.dim() == 4 else x.shape[1:]))
        raise ValueError(f"resolution: {name} does not take images of {size} pixels: {reason}") from None
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        given = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"model: {name} gives {given}; a classifier, which gives logits (batch, classes), is wanted")


class _Tracer(fx.Tracer):
    """Goes into nothing but what holds the named modules."""

    def __init__(self, modules: Sequence[str]) -> None:
        super().__init__()
        self._modules = modules

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(module.startswith(f"{module_qualified_name}.") for module in self._modules)


def _pieces(model: nn.Module, modules: Sequence[str], name: str) -> list[nn.Module]:
    """The pieces of ``model`` up to each of ``modules``, and what follows; an empty first name: nothing comes before."""
    signature = list(inspect.signature(model.forward).parameters.values())[1:]
    defaults = {parameter.name: parameter.default for parameter in signature if parameter.kind != parameter.VAR_KEYWORD}
    try:
        graph = _Tracer([module for module in modules if module]).trace(model, concrete_args=defaults)
    except Exception as error:  # whatever a model's own code does with a symbol
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"model: {name} cannot be cut into stages: torch.fx does not trace it: {reason}") from None
    graph = fx.GraphModule(model, graph).graph
    graph.eliminate_dead_code()
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
    ends = []
    for module in modules:
        if module:
            calls = [i for i, node in enumerate(nodes) if node.op == "call_module" and node.target == module]
            if len(calls) != 1:
                raise ValueError(
                    f"model: {name} cannot be cut into stages: {module!r} runs {len(calls)} times, not once"
                )
            ends.append(calls[0] + 1)
    if ends != sorted(set(ends)) or ends[-1] == len(nodes):
        raise ValueError(f"model: {name} cannot be cut into stages: {', '.join(modules)} do not run in this order")

    source, *others = (node for node in graph.nodes if node.op == "placeholder")
    constants = dict(zip(others, list(defaults.values())[-len(others) :], strict=True)) if others else {}
    pieces: list[nn.Module] = [] if modules[0] else [nn.Identity()]
    for start, end in zip([0, *ends], [*ends, len(nodes)], strict=True):
        pieces.append(fx.GraphModule(model, _piece(source, nodes[start:end], constants, name)))
        source = nodes[end - 1]
    return pieces


def _piece(source: fx.Node, nodes: Sequence[fx.Node], constants: Mapping[fx.Node, Any], name: str) -> fx.Graph:
    """The graph of ``nodes``, which take nothing but what ``source`` gives, and of which the last one counts.

    ``constants`` are arguments of the model that keep their default.
    """
    graph = fx.Graph()
    copies = {source: graph.placeholder("x")}

    def copied(node: fx.Node) -> Any:
        if node in constants:
            return constants[node]
        if node not in copies and node.op == "get_attr":
            copies[node] = graph.get_attr(str(node.target))  # a parameter of the model itself
        if node not in copies:
            raise ValueError(
                f"model: {name} cannot be cut into stages: beside the tensor of {source.target!r}, that of {node.target!r} "
                f"is needed later"
            )
        return copies[node]

    for node in nodes:
        copies[node] = graph.node_copy(node, copied)
    graph.output(copies[nodes[-1]])
    return graph
