"""A space of early-exit networks: an NNI ``ModelSpace`` whose every point is an :class:`EarlyExitNetwork`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from nni.mutable import Categorical, LabeledMutable, Sample
from nni.nas.nn.pytorch import LayerChoice, ModelSpace, Repeat
from nni.nas.space import model_context
from nni_earlyexit.choices import PRESENT, OptionalExit
from nni_earlyexit.network import EarlyExitNetwork
from torch import Tensor, nn

Condition = tuple[str, frozenset[Any]]
"""A label and the values of it under which something means anything."""


class Parts(NamedTuple):
    """What a network is put together from; see :class:`EarlyExitNetwork`."""

    stem: nn.Module
    stages: Sequence[nn.Module]
    exits: Sequence[nn.Module | None]


class EarlyExitSpace(ModelSpace, disable_init_wrapper=True):  # type: ignore[call-arg]
    """Base class of the search spaces.

    A subclass sets :attr:`name`, :attr:`version`, :attr:`input_shape` and :attr:`num_classes`, and returns stem, stages
    and exits from :meth:`parts`, with the choices of :mod:`nni_earlyexit.choices` (or any of NNI's) where something is
    to be searched. Every label stands for one choice.

    Frozen, by :meth:`freeze` as by NNI, it is a plain :class:`EarlyExitNetwork` that holds only what was chosen.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised whenever a sample of an earlier version would mean another network."""
    input_shape: ClassVar[tuple[int, ...]]
    num_classes: ClassVar[int]

    @classmethod
    def parts(cls) -> Parts:
        """Stem, stages and exits of the space, or of one network of it when NNI has set a sample."""
        raise NotImplementedError(f"{cls.__name__} must define parts()")

    def __init__(self) -> None:
        super().__init__()
        self.network = EarlyExitNetwork(*self.parts(), input_shape=self.input_shape, num_classes=self.num_classes)

    @classmethod
    def create_fixed_module(cls, sample: Sample) -> EarlyExitNetwork:
        """NNI's way to make one network: called instead of the constructor when a sample is set."""
        return EarlyExitNetwork(
            *cls.parts(),
            input_shape=cls.input_shape,
            num_classes=cls.num_classes,
            space=cls.identity(),
            sample=sample,
        )

    def freeze(self, sample: Sample) -> EarlyExitNetwork:
        """The network that ``sample`` means, with new weights.

        Raises ``ValueError`` when the sample does not belong to the space.
        """
        self.check(sample)
        with model_context(dict(sample)):
            return type(self)()  # type: ignore[return-value]  # create_fixed_module

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.network(x)

    @classmethod
    def identity(cls) -> str:
        """Name and version, as search space files carry it."""
        return f"{cls.name}/{cls.version}"

    # --- the choices -------------------------------------------------------------------------------------------------

    @cached_property
    def _conditions(self) -> list[tuple[Categorical, tuple[Condition, ...]]]:
        """Each choice with what must hold for it to mean anything: (label, values) of the choices above it."""
        found = list(_walk(self.network, ()))
        labels = [choice.label for choice, _ in found]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(
                f"{type(self).__name__}: label {twice[0]!r} stands for two choices; every label must stand for one"
            )
        return found

    @cached_property
    def choices(self) -> dict[str, list[Any]]:
        """Every label with the values it can take, in the order of the network."""
        return {choice.label: list(choice.values) for choice, _ in self._conditions}

    def check(self, sample: Mapping[str, Any]) -> None:
        """``ValueError`` that names label and value unless ``sample`` is a point of this space, all labels present."""
        for label in self.choices:
            if label not in sample:
                raise ValueError(f"sample: {label!r} is missing; space {self.identity()} needs all of its labels")
        for label, value in sample.items():
            if label not in self.choices:
                raise ValueError(f"sample: {label!r} is not a label of space {self.identity()}")
            # True == 1 in Python, but not in a search space
            if not any(value == known and type(value) is type(known) for known in self.choices[label]):
                raise ValueError(
                    f"sample: {label}={value!r} is not possible in space {self.identity()}; it can be "
                    f"{', '.join(map(repr, self.choices[label]))}"
                )

    def active(self, sample: Mapping[str, Any]) -> list[str]:
        """The labels of ``sample`` that make a difference, in the order of the network."""
        return [
            choice.label
            for choice, conditions in self._conditions
            if all(sample[label] in values for label, values in conditions)
        ]

    def canonical(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """The one form that all samples of the same network share: labels that make no difference get their first value."""
        self.check(sample)
        active = set(self.active(sample))
        return {label: sample[label] if label in active else values[0] for label, values in self.choices.items()}

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """A random point, every choice drawn uniformly, in canonical form."""
        drawn = {label: values[rng.integers(len(values))] for label, values in self.choices.items()}
        return self.canonical(drawn)

    def size(self) -> int:
        """Number of distinct networks."""
        _ = self._conditions  # no label twice: the count below relies on it
        return _count(self.network)

    def search_space(self) -> dict[str, dict[str, Any]]:
        """NNI's search space file for this space; its first entry says which space and version it belongs to."""
        entries = {"space": [self.identity()], **self.choices}
        return {label: {"_type": "choice", "_value": values} for label, values in entries.items()}

    def describe(self, sample: Mapping[str, Any]) -> str:
        """The architecture in one line: blocks of each stage, an exit's layers in brackets behind its stage."""
        active = set(self.active(sample))

        def chosen(prefix: str) -> str:
            return " ".join(
                str(sample[label])
                for label in self.choices
                if label in active and label.startswith(prefix) and not label.endswith(("_depth", "_present"))
            )

        parts = []
        for stage in range(len(self.network.stages)):
            parts.append(chosen(f"stage{stage}_"))
            if sample.get(f"exit{stage}_present") == PRESENT:
                parts.append(f"[{chosen(f'exit{stage}_') or 'classifier'}]")
        return " | ".join(parts).replace("| [", "[")

    # --- costs -------------------------------------------------------------------------------------------------------

    @cached_property
    def _costs(self) -> Any:
        from nni_earlyexit.costs import SymbolicCosts

        return SymbolicCosts(self.network)

    def exit_costs(self, sample: Mapping[str, Any]) -> list[int]:
        """MACs to leave at each present exit, as :attr:`EarlyExitNetwork.exit_costs`, without building the network."""
        return self._costs.exit_costs(sample)

    def cheapest(self, *, exit: int) -> tuple[dict[str, Any], int]:
        """A sample with the least MACs to leave at ``exit`` (0: the first one, -1: the last one), and those MACs.

        Found by changing one choice at a time until nothing gets cheaper, which is exact where the cost of a part does
        not depend on choices in other parts.
        """
        sample = {label: values[0] for label, values in self.choices.items()}
        cost = self.exit_costs(sample)[exit]
        improved = True
        while improved:
            improved = False
            for label, values in self.choices.items():
                for value in values:
                    other = {**sample, label: value}
                    other_cost = self.exit_costs(other)[exit]
                    if other_cost < cost:
                        sample, cost, improved = other, other_cost, True
        return self.canonical(sample), cost


def _walk(module: nn.Module, above: tuple[Condition, ...]) -> Iterator[tuple[Categorical, tuple[Condition, ...]]]:
    """Choices in ``module`` and below, each with the conditions under which it means anything."""
    if isinstance(module, LayerChoice):
        yield module.choice, above
        for name in module.names:
            yield from _walk(module[name], (*above, (module.choice.label, frozenset([name]))))
    elif isinstance(module, Repeat):
        depth = module.depth_choice
        if isinstance(depth, Categorical):
            yield depth, above
        elif not isinstance(depth, int):
            raise TypeError(f"Repeat: depth {depth!r} must be a number, a range or a choice")
        for index, block in enumerate(module.blocks):
            if isinstance(depth, Categorical):
                reached = frozenset(value for value in depth.values if value > index)
                yield from _walk(block, (*above, (depth.label, reached)))
            else:
                yield from _walk(block, above)
    elif isinstance(module, OptionalExit):
        yield module.presence, above
        yield from _walk(module.branch, (*above, (module.presence.label, frozenset([PRESENT]))))
    else:
        for mutable in getattr(module, "mutables", ()):
            for choice in mutable.leaf_mutables(lambda leaf: isinstance(leaf, LabeledMutable)):
                yield choice, above
        for child in module.children():
            yield from _walk(child, above)


def _count(module: nn.Module) -> int:
    """Number of distinct networks that ``module`` can become."""
    if isinstance(module, LayerChoice):
        return sum(_count(module[name]) for name in module.names)
    if isinstance(module, Repeat):
        depth = module.depth_choice
        depths = depth.values if isinstance(depth, Categorical) else [depth]
        return sum(math.prod(_count(block) for block in module.blocks[:d]) for d in depths)
    if isinstance(module, OptionalExit):
        return 1 + _count(module.branch)
    own = [len(mutable.values) for mutable in getattr(module, "mutables", ())]
    return math.prod([*own, *(_count(child) for child in module.children())])
