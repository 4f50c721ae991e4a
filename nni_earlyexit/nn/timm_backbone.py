"""A timm model cut into stages at the places that timm names in ``feature_info``, its weights kept.

The model's own ``forward`` is traced with ``torch.fx`` as far as the modules that give the features, which stay whole. What
lies between two of them becomes a stage, so that the stages one after another do exactly what the model does.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import timm
import torch
from nni.nas.profiler.pytorch.flops import FlopsResult
from nni.nas.profiler.pytorch.utils.misc import profiler_leaf_module
from nni.nas.profiler.pytorch.utils.shape import MutableShape, ShapeTensor
from nni_earlyexit.nn.inference import inference
from nni_earlyexit.nn.weights import fill, read_weights
from nni_earlyexit.utils.checks import unknown
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

MOST_STAGES = 5


@profiler_leaf_module
class FixedStage(nn.Module):
    """A piece of a given model. Frozen, it does not learn: weights and batch statistics stay.

    Attributes
    ----------
    input_shape, output_shape
        Shapes of one input and output, without the batch.
    """

    def __init__(self, body: nn.Module, input_shape: Sequence[int], output_shape: Sequence[int]) -> None:
        super().__init__()
        self.body = body
        self.input_shape, self.output_shape = tuple(input_shape), tuple(output_shape)
        self.frozen = False

    def forward(self, x: Tensor) -> Tensor:
        """The piece's output for ``x``."""
        return self.body(x)

    def freeze(self) -> None:
        """Let it learn nothing from now on."""
        self.frozen = True
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FixedStage:
        """Set the mode; a frozen piece stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    @cached_property
    def _macs(self) -> int:
        parameter = next(self.parameters(), None)
        x = torch.zeros(1, *self.input_shape, device=None if parameter is None else parameter.device)
        with inference(self), FlopCounterMode(display=False) as counter:
            self(x)
        return counter.get_total_flops() // 2

    # for NNI's profiler: nothing in here is searched, so one run says all

    def _shape_forward(self, x: ShapeTensor) -> MutableShape:
        return MutableShape(x.real_shape[0], *self.output_shape)

    def _count_flops(self, x: tuple[MutableShape, ...], y: tuple[MutableShape, ...]) -> FlopsResult:
        return FlopsResult(self._macs, sum(parameter.numel() for parameter in self.parameters()))


@dataclass(frozen=True)
class StagedModel:
    """A model taken apart.

    Attributes
    ----------
    stem, stages, head
        Pieces that are the model, one after another.
    channels
        Channels that come out of each stage.
    input_shape, num_classes
        Shape of one input and number of classes of the model.
    """

    stem: nn.Module
    stages: list[FixedStage]
    head: FixedStage
    channels: list[int]
    input_shape: tuple[int, ...]
    num_classes: int

    def copy(self) -> StagedModel:
        """The same with weights of its own."""
        return copy.deepcopy(self)


def load(
    model: str, *, num_classes: int | None, resolution: int | None, weights: str, pretrained: bool
) -> tuple[nn.Module, tuple[int, ...]]:
    """A timm model with its weights, in evaluation mode, and the shape of its inputs.

    ``weights`` is a safetensors file; without it and without ``pretrained``, the weights are random ones that never
    change. A number of classes other than that of the weights gives a new classifier.

    Raises ``ValueError`` for a model that timm does not have, and weights that do not fit or cannot be had.
    """
    if not timm.is_model(model.partition(".")[0]):
        raise unknown("model", model, timm.list_models())
    if weights and pretrained:
        raise ValueError("weights: only one of weights and pretrained can be given")
    state = read_weights(weights) if weights else {}
    arguments: dict[str, Any] = {"pretrained": pretrained}
    if state:
        classifier = f"{timm.get_pretrained_cfg_value(model, 'classifier')}.weight"
        if classifier in state:
            arguments["num_classes"] = state[classifier].shape[0]
    elif not pretrained and num_classes is not None:
        arguments["num_classes"] = num_classes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        created = _create(model, resolution, arguments)
        if state:
            fill(created, state, weights)
        if num_classes is not None and created.num_classes != num_classes:
            created.reset_classifier(num_classes)
    size = tuple(created.pretrained_cfg["input_size"])
    if resolution is not None:
        patch = getattr(getattr(created, "patch_embed", None), "patch_size", (1, 1))
        patch = patch[0] if isinstance(patch, tuple) else patch
        if resolution % patch:
            raise ValueError(
                f"resolution: {resolution} cannot be divided into the patches of {model}, {patch} on a side"
            )
        size = (size[0], resolution, resolution)
    return created.eval(), size


def _create(model: str, resolution: int | None, arguments: dict[str, Any]) -> Any:
    try:
        if resolution is not None:
            try:
                return timm.create_model(model, img_size=resolution, **arguments)
            except TypeError:
                pass  # a convolutional network, which takes any size
        return timm.create_model(model, **arguments)
    except (AssertionError, ZeroDivisionError) as error:
        raise ValueError(
            f"resolution: {resolution} is not possible for {model}: {error or 'it cannot be divided'}"
        ) from None
    except (OSError, RuntimeError) as error:
        if arguments["pretrained"]:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"pretrained: the weights of {model!r} cannot be had: {reason}") from None
        raise


def cut_into_stages(model: nn.Module, input_shape: tuple[int, ...], name: str) -> StagedModel:
    """Cut ``model``, which timm calls ``name``, after each of its features.

    Raises ``ValueError`` when timm names no features, when more than one tensor goes from a stage to the next, or when the
    model does not take images of this size.
    """
    info = _features(model, name)
    modules = [str(feature["module"]) for feature in info]
    x = torch.zeros(1, *input_shape)
    with inference(model):
        try:
            model(x)
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = " ".join(str(error).split())[:150]
            raise ValueError(
                f"resolution: {name} does not take images of {'x'.join(map(str, input_shape[1:]))} pixels: {reason}"
            ) from None
        pieces = _cut(model, modules, name)
        taken: list[FixedStage] = []
        for piece in pieces:
            y = piece(x)
            if not isinstance(y, Tensor):
                raise ValueError(f"model: {name} cannot be cut into stages: a stage gives more than one tensor")
            taken.append(FixedStage(piece, x.shape[1:], y.shape[1:]))
            x = y
    stem, *stages, head = taken
    return StagedModel(
        stem=stem,
        stages=stages,
        head=head,
        channels=[int(feature["num_chs"]) for feature in info[1:]],
        input_shape=input_shape,
        num_classes=x.shape[1],
    )


def _features(model: nn.Module, name: str) -> list[dict[str, Any]]:
    """The features to cut at: that of the stem, then those of the stages."""
    info = getattr(model, "feature_info", None)
    info = list(getattr(info, "info", info) or [])
    if len(info) < 2 or not all(feature.get("module") for feature in info):
        raise ValueError(f"model: timm names no features of {name}, so that there is nowhere to attach an exit")
    if len({feature["reduction"] for feature in info}) == 1:
        # blocks of one resolution, such as a vision transformer's: four stages of about as many
        wanted = min(len(info), MOST_STAGES - 1)
        info = [{**info[0], "module": ""}, *(info[(i + 1) * len(info) // wanted - 1] for i in range(wanted))]
    elif len(info) < MOST_STAGES:
        info = [{**info[0], "module": ""}, *info]
    return info


class _Tracer(fx.Tracer):
    """Goes into nothing but what holds the features."""

    def __init__(self, features: Sequence[str]) -> None:
        super().__init__()
        self._features = features

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(feature.startswith(f"{module_qualified_name}.") for feature in self._features)


def _cut(model: nn.Module, modules: Sequence[str], name: str) -> list[nn.Module]:
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
