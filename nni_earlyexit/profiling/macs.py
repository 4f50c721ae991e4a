"""Multiply-accumulates of every exit of a sample by NNI's profiler, for what cannot be taken apart into units.

It walks the space once and returns each part's multiply-accumulates as an expression of the choices, wherever these are. A
sample then only fills in the expressions. It takes several times as long as
:class:`~nni_earlyexit.profiling.unit_costs.UnitCosts`, and needs a shape formula for every layer; the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nni.nas.profiler.pytorch.flops import FlopsParamsCounterConfig, count_flops_params
from nni.nas.profiler.pytorch.utils import ShapeTensor, submodule_input_output_shapes
from nni_earlyexit.nn.inference import example, probing
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.profiling.exit_presence import ExitPresence
from nni_earlyexit.profiling.expressions import Function, compiled


class SymbolicMacs:
    """Multiply-accumulates to leave at each exit of the networks of a space.

    Parameters
    ----------
    network
        The network of a space, its choices open.
    """

    def __init__(self, network: EarlyExitNetwork) -> None:
        config = FlopsParamsCounterConfig(count_bias=False, count_normalization=False, count_activation=False)
        with probing(network):
            shapes = submodule_input_output_shapes(network, ShapeTensor(example(network.input_shape), True))

        def macs(name: str) -> Function:
            return compiled(count_flops_params(name, network.get_submodule(name), shapes, config).flops)

        self._stem = macs("stem")
        self._stages = [macs(f"stages.{stage}") for stage in range(len(network.stages))]
        self._exits = [macs(f"exits.{s}") if str(s) in network.exits else None for s in range(len(network.stages))]
        self._present = ExitPresence(network)

    def __call__(self, sample: Mapping[str, Any]) -> list[int]:
        """MACs to leave at each present exit of ``sample``, first exit first."""
        costs = []
        spent = self._stem(sample)
        for blocks, branch, present in zip(self._stages, self._exits, self._present(sample), strict=True):
            spent += blocks(sample)
            if present and branch is not None:
                spent += branch(sample)
                costs.append(round(spent))
        return costs
