"""The choices that an early-exit space is made of, on NNI's own mutables.

Where NNI freezes a space by building it again under a sample, only what the sample chose is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nni.mutable import Categorical, MutableExpression, Sample
from nni.nas.nn.pytorch import LayerChoice, MutableModule, Repeat
from nni.nas.profiler.pytorch.flops import FlopsResult, count_flops_params
from nni.nas.space import current_model
from nni_earlyexit import blocks
from timm.layers import ClassifierHead
from torch import Tensor, nn

PRESENT, ABSENT = "yes", "no"


def layer(names: Sequence[str], in_chs: int, out_chs: int, stride: int = 1, *, label: str) -> nn.Module:
    """A ``LayerChoice`` over the blocks called ``names`` (see :mod:`nni_earlyexit.blocks`)."""
    sample = current_model()
    if sample is not None:
        return blocks.build(Categorical(list(names), label=label).freeze(sample), in_chs, out_chs, stride)
    return LayerChoice({name: blocks.build(name, in_chs, out_chs, stride) for name in names}, label=label)


def layers(
    names: Sequence[str], in_chs: int, out_chs: int, stride: int, depth: tuple[int, int], *, label: str, item: str
) -> nn.Module:
    """A ``Repeat`` of layer choices: ``label_depth`` of them, called ``label_<item>0``, ``label_<item>1``, ...

    The first one changes the channels and the resolution, the others keep them. With depth 0, the input comes out.
    """

    def build(index: int) -> nn.Module:
        first = index == 0
        return layer(
            names, in_chs if first else out_chs, out_chs, stride if first else 1, label=f"{label}_{item}{index}"
        )

    return Repeat(build, depth, label=f"{label}_depth")


def stage(
    names: Sequence[str], in_chs: int, out_chs: int, stride: int, depth: tuple[int, int], *, label: str
) -> nn.Module:
    """A searchable stage: how many blocks, and which one at each place."""
    return layers(names, in_chs, out_chs, stride, depth, label=label, item="block")


def exit_branch(
    names: Sequence[str], channels: int, num_classes: int, depth: tuple[int, int], *, label: str, stride: int = 1
) -> nn.Module | None:
    """A searchable exit: present or not, how many layers (0: classifier only), and which one at each place."""

    def build() -> nn.Module:
        return nn.Sequential(
            layers(names, channels, channels, stride, depth, label=label, item="layer"),
            ClassifierHead(channels, num_classes),
        )

    return OptionalExit(build, label=f"{label}_present")


class OptionalExit(MutableModule):
    """An exit branch that may be absent.

    Frozen, it is the branch or ``None``. Inside a space it always runs, so that shapes and weights exist for every
    network of the space.

    Parameters
    ----------
    build
        Makes the branch; called only when there is one.
    label
        Label of the choice between ``"yes"`` and ``"no"``.
    """

    def __init__(self, build: Callable[[], nn.Module], *, label: str) -> None:
        super().__init__()
        self.presence = self._presence(label)
        self.add_mutable(self.presence)
        self.branch = build()

    @staticmethod
    def _presence(label: str) -> Categorical:
        return Categorical([PRESENT, ABSENT], label=label)

    @classmethod
    def create_fixed_module(cls, sample: Sample, build: Callable[[], nn.Module], *, label: str) -> nn.Module | None:
        return build() if cls._presence(label).freeze(sample) == PRESENT else None

    def forward(self, x: Tensor) -> Tensor:
        # A view, because NNI's shape inference writes a Repeat's output shape onto the tensor that comes out; with depth 0
        # that is the tensor that went in, which the next stage reads too.
        return self.branch(x.view(x.shape))

    def _count_flops(self, inputs: Any, outputs: Any, *, name: str, shapes: Any, config: Any) -> FlopsResult:
        """How NNI's profiler counts this module: an absent exit costs nothing."""
        branch = count_flops_params(f"{name}.branch", self.branch, shapes, config)
        return FlopsResult(
            MutableExpression.switch_case(self.presence, {PRESENT: branch.flops, ABSENT: 0}),
            MutableExpression.switch_case(self.presence, {PRESENT: branch.params, ABSENT: 0}),
        )
