"""MACs of every exit of a sample, without building its network.

NNI's profiler walks the space once and returns each part's multiply-accumulates as an expression of the choices. A sample
then only fills in the expressions. Normalisation, activation, pooling and bias are not counted; the numbers equal torch's
``FlopCounterMode`` / 2 on the frozen network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import nni_earlyexit.profiling  # noqa: F401  # registers the formulas
import torch
from nni.mutable import MutableExpression
from nni.nas.profiler.pytorch.flops import FlopsParamsCounterConfig, count_flops_params
from nni.nas.profiler.pytorch.utils import ShapeTensor, submodule_input_output_shapes
from nni_earlyexit.choices import PRESENT, OptionalExit
from nni_earlyexit.network import EarlyExitNetwork, inference

Expression: TypeAlias = MutableExpression | float | int


class SymbolicCosts:
    """Costs of the networks of a space.

    Parameters
    ----------
    network
        The network of a space, its choices open.
    """

    def __init__(self, network: EarlyExitNetwork) -> None:
        config = FlopsParamsCounterConfig(count_bias=False, count_normalization=False, count_activation=False)
        with inference(network):
            shapes = submodule_input_output_shapes(network, ShapeTensor(torch.zeros(1, *network.input_shape), True))

        def macs(name: str) -> Expression:
            return count_flops_params(name, network.get_submodule(name), shapes, config).flops

        self._stem = macs("stem")
        self._stages = [macs(f"stages.{stage}") for stage in range(len(network.stages))]
        self._exits = {int(stage): macs(f"exits.{stage}") for stage in network.exits}
        self._presence = {
            int(stage): branch.presence.label if isinstance(branch, OptionalExit) else None
            for stage, branch in network.exits.items()
        }

    def exit_costs(self, sample: Mapping[str, Any]) -> list[int]:
        """MACs to leave at each present exit of ``sample``, first exit first."""
        costs = []
        spent = _evaluate(self._stem, sample)
        for stage, blocks in enumerate(self._stages):
            spent += _evaluate(blocks, sample)
            presence = self._presence.get(stage, "")
            if presence is None or sample.get(presence) == PRESENT:
                spent += _evaluate(self._exits[stage], sample)
                costs.append(spent)
        return costs


def _evaluate(expression: Expression, sample: Mapping[str, Any]) -> int:
    value = expression.evaluate(sample) if isinstance(expression, MutableExpression) else expression
    return round(value)
