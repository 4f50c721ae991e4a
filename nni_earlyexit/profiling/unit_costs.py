"""Costs of every exit of a sample, without building its network, from the units that it is made of.

MACs, parameters and seconds add up; of memory the largest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from nni_earlyexit.nn import counting
from nni_earlyexit.nn.inference import example, probing
from nni_earlyexit.nn.memory import peak_bytes
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.profiling.exit_presence import ExitPresence
from nni_earlyexit.profiling.expressions import Function, added
from nni_earlyexit.profiling.units import Alternatives, Node, Part, Unit, check_shapes, take_apart, units

Number = TypeVar("Number", int, float)


class AdditiveCosts(Generic[Number]):
    """Costs that add up over what runs.

    Parameters
    ----------
    network
        The network of a space, its choices open.
    parts
        The network taken apart (:func:`take_apart`).
    cost
        Cost of one unit.
    """

    def __init__(self, network: EarlyExitNetwork, parts: Sequence[Part], cost: Callable[[Unit], Number]) -> None:
        costs = {unit.name: cost(unit) for unit in units(parts)}
        self._stem = _sum(parts[0].nodes, costs)
        self._stages = [_sum(part.nodes, costs) for part in parts[1:]]
        self._exits = [_sum(part.branch or (), costs) for part in parts[1:]]
        self._present = ExitPresence(network)

    def __call__(self, sample: Mapping[str, Any]) -> list[Number]:
        """The cost to leave at each present exit of ``sample``."""
        costs = []
        spent = self._stem(sample)
        for blocks, branch, present in zip(self._stages, self._exits, self._present(sample), strict=True):
            spent += blocks(sample)
            if present:
                spent += branch(sample)
                costs.append(spent)
        return costs

    def branches(self, sample: Mapping[str, Any]) -> list[Number]:
        """The cost of each present exit branch of ``sample`` alone."""
        return [branch(sample) for branch, present in zip(self._exits, self._present(sample), strict=True) if present]


def _sum(nodes: Sequence[Node], costs: Mapping[str, float]) -> Function:
    def function(node: Node) -> Function:
        if isinstance(node, Unit):
            constant = costs[node.name]
            return lambda sample: constant
        cases = {value: _sum(case, costs) for value, case in node.cases.items()}
        label = node.label
        return lambda sample: cases[sample[label]](sample)

    fixed = sum(costs[node.name] for node in nodes if isinstance(node, Unit))
    return added([lambda sample: fixed, *(function(node) for node in nodes if isinstance(node, Alternatives))])


class PeakMemory:
    """Activation memory to leave at each exit, in bytes, for one float32 input.

    It counts the tensors that torch holds at once as it runs a network unit by unit: those that a unit makes, its input,
    the input of its stage or exit branch, and the outputs of earlier exits; neither weights nor the network's own input.
    """

    def __init__(self, network: EarlyExitNetwork, parts: Sequence[Part]) -> None:
        with probing(network):
            self._allocations = {unit.name: _Allocation.measure(unit) for unit in units(parts)}
        self._parts = parts
        self._present = ExitPresence(network)
        self._logits = 4 * network.num_classes

    def __call__(self, sample: Mapping[str, Any]) -> list[int]:
        """Peak bytes until each present exit of ``sample``."""
        costs: list[int] = []
        peak, held = self._run(self._parts[0].nodes, 0, sample)
        for part, present in zip(self._parts[1:], self._present(sample), strict=True):
            earlier = len(costs) * self._logits
            here, output = self._run(part.nodes, held, sample)
            peak, held = max(peak, here + earlier), output
            if present:
                here, _ = self._run(part.branch or (), held, sample)
                peak = max(peak, here + earlier)
                costs.append(peak)
        return costs

    def _run(self, nodes: Sequence[Node], held: int, sample: Mapping[str, Any]) -> tuple[int, int]:
        """Peak of a stage or branch whose input has ``held`` bytes, and the bytes of its output."""
        peak, current, same = held, held, True
        for unit in _chosen(nodes, sample):
            allocation = self._allocations[unit.name]
            # the stage's input stays alive; a unit's input is another tensor once something was made
            alive = held if same else held + current
            peak = max(peak, alive + allocation.peak)
            if not allocation.passes:
                current, same = allocation.output, False
        return peak, current


def _chosen(nodes: Sequence[Node], sample: Mapping[str, Any]) -> list[Unit]:
    chosen: list[Unit] = []
    for node in nodes:
        if isinstance(node, Unit):
            chosen.append(node)
        else:
            chosen += _chosen(node.cases[sample[node.label]], sample)
    return chosen


class _Allocation:
    """Memory of one unit: bytes at most at once, bytes of its output, and ``True`` if that is only its input again."""

    def __init__(self, peak: int, output: int, passes: bool) -> None:
        self.peak, self.output, self.passes = peak, output, passes

    @classmethod
    def measure(cls, unit: Unit) -> _Allocation:
        peak, y = peak_bytes(lambda: unit.module(unit.x))
        storage = y.untyped_storage()
        return cls(peak, storage.nbytes(), storage.data_ptr() == unit.x.untyped_storage().data_ptr())


class UnitCosts:
    """MACs, parameters and activation memory of the networks of a space, from its units.

    Raises ``TypeError`` for a space that cannot be taken apart. MACs and memory do where a choice changes the shape of what
    later layers get, and parameters where units share some.
    """

    def __init__(self, network: EarlyExitNetwork) -> None:
        self._network = network
        self._parts = take_apart(network, example(network.input_shape))

    @cached_property
    def macs(self) -> AdditiveCosts[int]:
        """MACs, as torch counts them on each unit."""
        check_shapes(self._parts)
        with probing(self._network), counting.counter() as operations:

            def own(unit: Unit) -> int:
                before = operations.get_total_flops()
                unit.module(unit.x)
                return (operations.get_total_flops() - before) // 2

            return AdditiveCosts(self._network, self._parts, own)

    @cached_property
    def params(self) -> AdditiveCosts[int]:
        """Parameters."""
        counted: dict[int, str] = {}

        def own(unit: Unit) -> int:
            for parameter in unit.module.parameters():
                if counted.setdefault(id(parameter), unit.name) != unit.name:
                    raise TypeError(f"{unit.name}: it shares parameters with {counted[id(parameter)]}")
            return sum(parameter.numel() for parameter in unit.module.parameters())

        return AdditiveCosts(self._network, self._parts, own)

    @cached_property
    def activation_bytes(self) -> PeakMemory:
        """Activation memory."""
        check_shapes(self._parts)
        return PeakMemory(self._network, self._parts)
