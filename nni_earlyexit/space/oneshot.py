"""Optional exits in the supernets of NNI's one-shot strategies.

A strategy that samples paths (random, ENAS) also samples which exits are there. A differentiable one mixes all
candidates of a choice by weights, and there is nothing to mix an exit with: its loss is there or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from nni.mutable import Categorical
from nni.nas import strategy
from nni.nas.nn.pytorch import Repeat
from nni.nas.oneshot.pytorch.strategy import DARTS, Proxyless
from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from nni.nas.oneshot.pytorch.supermodule.proxyless import ProxylessMixedRepeat
from nni_earlyexit.nn.mutables import PRESENT, OptionalExit
from nni_earlyexit.profiling.units import depths
from torch import Tensor, nn


class SampledChoice(BaseSuperNetModule):
    """A module of a supernet that does what is sampled of one choice.

    Attributes
    ----------
    choice
        The choice.
    """

    choice: Categorical
    _sampled: Any = None

    @property
    def sampled(self) -> Any:
        """The value that was sampled; ``RuntimeError`` before one is."""
        if self._sampled is None:
            raise RuntimeError(f"{self.choice.label} must be sampled before the supernet runs")
        return self._sampled

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Draw a value, unless the strategy has decided it."""
        label = self.choice.label
        self._sampled = memo[label] if label in memo else self.choice.random()
        return {label: self._sampled}

    def export(self, memo: dict[str, Any]) -> dict[str, Any]:
        """A random value, unless the strategy has one."""
        label = self.choice.label
        return {} if label in memo else {label: self.choice.random()}

    def export_probs(self, memo: dict[str, Any]) -> dict[str, Any]:
        """No probabilities, because none are learned here."""
        return {}


class SampledExit(OptionalExit, SampledChoice):
    """An exit of a supernet: its logits when it is sampled as present, else ``None``, which the network leaves out."""

    def __init__(self, branch: nn.Module, *, label: str) -> None:
        super().__init__(lambda: branch, label=label)
        self.choice = self.presence

    def forward(self, x: Tensor) -> Tensor | None:
        """Logits (batch, classes), or ``None`` when the exit is sampled as absent; ``RuntimeError`` before it is sampled."""
        return super().forward(x) if self.sampled == PRESENT else None

    @classmethod
    def mutate(
        cls, module: nn.Module, name: str, memo: Mapping[str, Any], mutate_kwargs: Mapping[str, Any]
    ) -> tuple[SampledExit, bool] | None:
        """NNI's hook that replaces an :class:`OptionalExit`."""
        if type(module) is OptionalExit:
            return cls(module.branch, label=module.presence.label), True
        return None


def _refuse(module: nn.Module, name: str, memo: Mapping[str, Any], mutate_kwargs: Mapping[str, Any]) -> None:
    if type(module) is OptionalExit:
        stage = name.rpartition(".")[2]
        raise ValueError(
            f"{module.presence.label}: a differentiable strategy cannot decide whether an exit is there; fix it with "
            f"fixed_exits or banned_exits (stage {stage}), and its depth and layers are searched"
        )


class ProxylessBranch(nn.Sequential, BaseSuperNetModule):
    """The layers of an exit branch for ProxylessNAS: what always comes first, then layers that may be skipped.

    NNI's own version only takes a depth that is one choice, and an exit's is one more than its choice.
    """

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """No choices of its own: the layers sample themselves."""
        return {}

    export = resample
    export_probs = resample

    @classmethod
    def mutate(
        cls, module: nn.Module, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]
    ) -> tuple[ProxylessBranch, bool] | None:
        """NNI's hook that replaces a ``Repeat`` whose first block is always there."""
        if type(module) is Repeat and not isinstance(module.depth_choice, (int, Categorical)):
            choice, lengths = depths(module)
            if choice is not None and all(depth == value + 1 for value, depth in lengths.items()):
                first, *others = cast(nn.ModuleList, module.blocks)
                repeat = Repeat([lambda _, block=block: block for block in others], choice)
                return cls(first, ProxylessMixedRepeat.mutate(repeat, name, memo, mutate_kwargs)), True
        return None


class ENAS(strategy.ENAS):
    """NNI's ENAS, mended for the Lightning that comes with it today.

    NNI tells training from validation batches by what Lightning 2.0 handed on beside a batch, and takes the inputs and
    classes of a batch for that. Here every batch says itself which one it is.
    """

    def train_dataloader(
        self, train_dataloader_fn: Callable[[], Iterable[Any]], val_dataloader_fn: Callable[[], Iterable[Any]]
    ) -> Iterable[tuple[Any, str]]:
        """The batches of both loaders, each with the name of its loader, ``train`` or ``val``."""
        return _NamedBatches({"train": train_dataloader_fn(), "val": val_dataloader_fn()})


class _NamedBatches:
    """All batches of several loaders, one loader after the other, each batch with the name of its loader."""

    def __init__(self, loaders: Mapping[str, Any]) -> None:
        self._loaders = loaders

    def __len__(self) -> int:
        return sum(map(len, self._loaders.values()))

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        for name, loader in self._loaders.items():
            for batch in loader:
                yield batch, name


def hooks(oneshot_strategy: Any) -> list[Callable[..., Any]]:
    """Mutation hooks for a one-shot strategy; those of differentiable ones raise ``ValueError`` at an optional exit."""
    if isinstance(oneshot_strategy, Proxyless):
        return [_refuse, ProxylessBranch.mutate]
    return [_refuse if isinstance(oneshot_strategy, DARTS) else SampledExit.mutate]
