"""A network as ONNX: one file per segment, and one file that leaves early by itself, for one input at a time."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from nni_earlyexit.deploy.decision import Decision, can_decide
from nni_earlyexit.deploy.segments import segments_with_inputs
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.runtime.onnx_predictor import FEATURES, LOGITS, NESTED, segment_file
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.utils.files import write_whole
from torch import Tensor, nn

if TYPE_CHECKING:
    import onnx

OPSET = 18
INPUTS, EXIT = "inputs", "exit"
"""Names of what goes into it, and of the exit that its input left at."""


def export_onnx(network: EarlyExitNetwork, policy: ExitPolicy, folder: Path) -> list[str]:
    """Write the segments of ``network``, and all of it under ``policy`` as one file, to ``folder``; the names of the files.

    The one file, :data:`NESTED`, takes one input, as ``inputs`` (1, *input shape), float32 images from 0 to 1 or int64 tokens,
    and gives ``logits`` (1, classes) of the exit that the input left at, and ``exit`` (1,). What follows that exit does not
    run: the rest of the network is the other branch of an ``If``. It is left out where ``policy`` has a measure of the user's
    own, which is Python.
    """
    models = list(_segments(network))
    files = {segment_file(segment): model for segment, model in enumerate(models)}
    if can_decide(policy):
        decisions = {exit: _decision(policy, exit, network.num_classes) for exit in policy.kept[:-1]}
        files[NESTED] = _nested(models, decisions, policy)
    for name, model in files.items():
        _write(model, folder / name)
    return list(files)


def _segments(network: EarlyExitNetwork) -> Iterator[onnx.ModelProto]:
    """The segments of ``network`` in turn, their names prefixed so that they can stand in one graph."""
    for segment, x in segments_with_inputs(network, torch.device("cpu")):
        yield _exported(segment, [x], [INPUTS], [LOGITS] if segment.last else [FEATURES, LOGITS])


def _decision(policy: ExitPolicy, exit: int, classes: int) -> onnx.ModelProto:
    so_far = [k for k in policy.kept if k <= exit]
    logits = [torch.zeros(2, classes) for _ in so_far]
    return _exported(Decision(policy, exit), logits, [f"logits{k}" for k in so_far], ["leaves"])


def _exported(module: nn.Module, x: Sequence[Tensor], inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """``module`` as an ONNX model for any number of inputs, with the names ``inputs`` and ``outputs``."""
    batch = torch.export.Dim("batch")
    shapes: tuple[Any, ...] = tuple({0: batch} for _ in x)
    if isinstance(module, Decision):
        shapes = (shapes,)  # those of its one variadic argument
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(x),
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise AssertionError("without a file, torch gives the model")
    model: onnx.ModelProto = program.model_proto
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter says much that is about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _write(model: onnx.ModelProto, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda temporary: temporary.write_bytes(model.SerializeToString()))


def _nested(
    models: Sequence[onnx.ModelProto], decisions: dict[int, onnx.ModelProto], policy: ExitPolicy
) -> onnx.ModelProto:
    """One model: each segment, the decision, and an ``If`` with the answer on one side and the rest on the other."""
    import onnx
    from onnx import TensorProto, compose, helper

    graphs, opsets, version = [], {}, 0
    for segment, model in enumerate(models):
        named = compose.add_prefix(model, f"segment{segment}/")
        opsets.update({opset.domain: opset.version for opset in named.opset_import})
        version = max(version, named.ir_version)
        graphs.append(named.graph)
    last = policy.kept[-1]
    answer = [
        helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, [1, None]),
        helper.make_tensor_value_info(EXIT, TensorProto.INT64, [1]),
    ]

    def answers(segment: int, place: str) -> list[onnx.NodeProto]:
        """Nodes that make the outputs of a graph from the logits of a segment."""
        return [
            helper.make_node("Identity", [f"segment{segment}/{LOGITS}"], [f"{place}{LOGITS}"]),
            helper.make_node(
                "Constant", [], [f"{place}{EXIT}"], value=helper.make_tensor("", TensorProto.INT64, [1], [segment])
            ),
        ]

    def outputs(place: str) -> list[onnx.ValueInfoProto]:
        renamed = []
        for info in answer:
            own = onnx.ValueInfoProto()
            own.CopyFrom(info)
            own.name = f"{place}{info.name}"
            renamed.append(own)
        return renamed

    def rest(segment: int, place: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Nodes and weights from ``segment`` on, whose outputs are named with ``place``."""
        graph = graphs[segment]
        nodes, weights = list(graph.node), list(graph.initializer)
        if segment:
            entry = helper.make_node("Identity", [f"segment{segment - 1}/{FEATURES}"], [f"segment{segment}/{INPUTS}"])
            nodes.insert(0, entry)
        if segment == last:
            return [*nodes, *answers(segment, place)], weights
        inner = f"{place}after{segment}/"
        more, further = rest(segment + 1, inner)
        if segment not in decisions:  # a dropped exit
            return [*nodes, *more, *_renamed(inner, place)], [*weights, *further]
        decision = compose.add_prefix(decisions[segment], f"decision{segment}/").graph
        so_far = [
            helper.make_node("Identity", [f"segment{k}/{LOGITS}"], [f"decision{segment}/logits{k}"])
            for k in policy.kept
            if k <= segment
        ]
        here = f"{place}here{segment}/"
        branches = helper.make_node(
            "If",
            [f"decision{segment}/leaves"],
            [f"{place}{LOGITS}", f"{place}{EXIT}"],
            then_branch=helper.make_graph(answers(segment, here), f"leaves at {segment}", [], outputs(here)),
            else_branch=helper.make_graph(more, f"goes on after {segment}", [], outputs(inner), further),
        )
        return [*nodes, *so_far, *decision.node, branches], [*weights, *decision.initializer]

    def _renamed(inner: str, place: str) -> list[onnx.NodeProto]:
        return [helper.make_node("Identity", [f"{inner}{name}"], [f"{place}{name}"]) for name in (LOGITS, EXIT)]

    nodes, weights = rest(0, "")
    first = onnx.ValueInfoProto()
    first.CopyFrom(graphs[0].input[0])
    first.name = INPUTS
    first.type.tensor_type.shape.dim[0].Clear()
    first.type.tensor_type.shape.dim[0].dim_value = 1
    nodes.insert(0, helper.make_node("Identity", [INPUTS], [f"segment0/{INPUTS}"]))
    model = helper.make_model(
        helper.make_graph(nodes, "early exits", [first], answer, weights),
        opset_imports=[helper.make_opsetid(domain, number) for domain, number in opsets.items()],
        ir_version=version,
    )
    onnx.checker.check_model(model)
    return model
